import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import * as z from 'zod';
import type { RouteDeps } from './deps.ts';
import { goneSignal } from './gone.ts';

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

/** Something for the reader of an event stream. `silence`: there is nothing now. */
export type Streamed =
  | { readonly type: 'event'; readonly id: number | null; readonly data: unknown }
  | { readonly type: 'silence' };

const lastEventId = z.coerce.number().int().nonnegative().catch(0);

/**
 * Answers a request with the events after the one that its `Last-Event-ID` names, until there are no more, its reader is gone, or the
 * instance stops. After some silence the reader gets a comment.
 */
export async function answerWithEvents(
  request: FastifyRequest,
  reply: FastifyReply,
  { clock, stopping }: Pick<RouteDeps, 'clock' | 'stopping'>,
  events: (after: number, gone: AbortSignal) => AsyncIterable<Streamed>,
): Promise<void> {
  const after = lastEventId.parse(request.headers['last-event-id'] ?? 0);
  const gone = goneSignal(reply, stopping);
  reply.hijack();
  const stream = openEventStream(reply.raw, gone);
  let sentAt = clock.bootTime();
  try {
    for await (const one of events(after, gone)) {
      if (one.type === 'event') await stream.event(one.id, one.data);
      else if (clock.bootTime() - sentAt > keepAliveMs) await stream.comment();
      else continue;
      sentAt = clock.bootTime();
    }
  } catch (error) {
    if (!gone.aborted)
      request.log.error({ error }, 'an event stream ended with an error; its reader can resume it');
  } finally {
    stream.end();
  }
}
