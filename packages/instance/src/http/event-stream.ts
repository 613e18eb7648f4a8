import type { ServerResponse } from 'node:http';
import { once } from 'node:events';

/** After this much silence an event stream sends a comment, so that proxies keep the connection. */
export const keepAliveMs = 10_000;

/** Server-sent events for one reader. A write resolves when the reader has room for more. */
export interface EventStream {
  /** Writes one event, as JSON. A resume starts after the last event with an id. */
  event(id: number | null, data: unknown): Promise<void>;
  /** Writes a comment, which keeps the connection alive. */
  comment(): Promise<void>;
  end(): void;
}

/**
 * Starts an event stream as the answer to a request. `gone`: aborted when the reader is gone, or when the stream is to end; a write
 * that waits for room then rejects. `headers` are added to those of every event stream.
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
      // A reader that does not read would never get the end.
      if (response.writableNeedDrain) response.destroy();
      else response.end();
    },
  };
}
