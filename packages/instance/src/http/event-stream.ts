import type { ServerResponse } from 'node:http';
import { once } from 'node:events';

/** Server-sent events to one reader; a write resolves when the reader has room for more. */
export interface EventStream {
  /** One event, as JSON; without an id it does not count for a resume. */
  event(id: number | null, data: unknown): Promise<void>;
  comment(): Promise<void>;
  end(): void;
}

/**
 * `gone`: aborted when nobody reads any more, or nothing more is to be said; a write that waits for room then rejects.
 * `headers`: besides those of every such stream.
 */
export function openEventStream(
  response: ServerResponse,
  gone: AbortSignal,
  headers: Readonly<Record<string, string>> = {},
): EventStream {
  response.writeHead(200, {
    ...headers,
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  });
  response.flushHeaders();
  const write = async (text: string) => {
    if (response.destroyed) throw new Error('the reader is gone');
    if (response.write(text)) return;
    await once(response, 'drain', { signal: gone });
  };
  return {
    event: (id, data) => write(`${id === null ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`),
    comment: () => write(':\n\n'),
    end() {
      // A reader that has stopped reading would never see the end.
      if (response.writableNeedDrain) response.destroy();
      else response.end();
    },
  };
}
