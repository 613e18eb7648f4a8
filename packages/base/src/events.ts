import { FumehoodError } from './errors.ts';

/** One server-sent event. */
export interface ServerEvent {
  /** Null when it does not move a resume. */
  readonly id: string | null;
  readonly data: string;
}

/**
 * Reads a stream of server-sent events (the HTML standard's `text/event-stream`, as far as our instance uses it: `id` and
 * `data`, comments left out). What follows the last blank line was cut off and is dropped. Errors: `answer_unknown` for an event
 * of more than `longest` characters.
 */
export async function* readEvents(
  stream: AsyncIterable<Uint8Array>,
  longest: number,
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
      if (length > longest) throw tooLong(longest);
      if (line === '') {
        if (data.length > 0) yield { id, data: data.join('\n') };
        id = null;
        data = [];
        length = 0;
      } else if (line.startsWith('data:')) data.push(line.slice(5).replace(/^ /, ''));
      else if (line.startsWith('id:')) id = line.slice(3).trim();
    }
    if (length + rest.length > longest) throw tooLong(longest);
  }
}

/** An event that goes on and on would fill the memory of whoever waits for its end. */
function tooLong(longest: number): FumehoodError {
  return new FumehoodError({
    code: 'answer_unknown',
    message: `the instance sent an event of more than ${longest} characters`,
    remedy: 'Use the same version as the instance.',
  });
}
