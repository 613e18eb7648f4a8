import { FumehoodError } from './errors.ts';

/** One server-sent event. */
export interface ServerEvent {
  /** The id from which a client resumes; null when this event does not change it. */
  readonly id: string | null;
  readonly data: string;
}

/**
 * Reads a stream of server-sent events: of the HTML standard's `text/event-stream`, the fields `id` and `data`, which is what an
 * instance sends. An event without its blank line at the end was cut off and is dropped. Errors: `answer_unknown` for an event of
 * more than `maxLength` characters, which would otherwise fill the memory.
 */
export async function* readEvents(
  stream: AsyncIterable<Uint8Array>,
  maxLength: number,
): AsyncGenerator<ServerEvent> {
  const decoder = new TextDecoder();
  let rest = '';
  let id: string | null = null;
  let data: string[] = [];
  let length = 0;
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    for (const raw of lines) {
      const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
      length += line.length;
      if (length > maxLength) throw tooLong(maxLength);
      if (line === '') {
        if (data.length > 0) yield { id, data: data.join('\n') };
        id = null;
        data = [];
        length = 0;
      } else if (line.startsWith('data:')) data.push(line.slice(5).replace(/^ /, ''));
      else if (line.startsWith('id:')) id = line.slice(3).trim();
    }
    if (length + rest.length > maxLength) throw tooLong(maxLength);
  }
}

function tooLong(maxLength: number): FumehoodError {
  return new FumehoodError({
    code: 'answer_unknown',
    message: `the instance sent an event of more than ${maxLength} characters`,
    remedy: 'Use the same version of Fumehood as the instance.',
  });
}
