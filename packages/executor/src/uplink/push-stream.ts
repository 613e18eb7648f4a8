import { type Clock, factsOf, readEvents } from '@fumehood/base';
import { type Order, orderSchema, ordersVersion } from '@fumehood/protocol';
import { reportChanges, withRemedy } from '../log.ts';
import { withTimeout } from './retry.ts';

/** An instance that pushes orders, so that an executor need not wait for its next heartbeat. */
export interface PushSource {
  /** The version of the protocol that both sides speak. */
  readonly version: () => number;
  /** Opens the stream of server-sent events, which the signal closes. Instances have it from `ordersVersion` on. */
  openPushStream(signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
}

/** The pause before the stream is opened again, in ms. Each pause is twice as long as the last, up to the longest. */
const firstPauseMs = 250;
const longestPauseMs = 10_000;
/** After a stream that lasted this long, in ms, the next pause is the first one again. */
const steadyMs = 30_000;
/** The instance sends a comment every 10 s. After a silence of this length, in ms, the connection is taken for dead. */
const silenceMs = 25_000;
/** Characters of the longest event that is accepted. */
const eventMax = 65_536;
const action = 'follow the push stream';

/**
 * Follows the push stream of the instance until `ended`, and opens it again after every interruption. Calls `applyOrder` for
 * each order. A lost order does no harm: the answer to
 * the next heartbeat says the same, and a lost `work` order only means a longer wait.
 */
export async function followPushStream(
  deps: {
    readonly source: PushSource;
    readonly clock: Clock;
    readonly applyOrder: (order: Order) => void;
    readonly onTrouble: (message: string) => void;
  },
  ended: AbortSignal,
): Promise<void> {
  const { source, clock, applyOrder } = deps;
  const report = reportChanges(deps.onTrouble);
  for (let pause = firstPauseMs; !ended.aborted; pause = Math.min(pause * 2, longestPauseMs)) {
    const began = clock.bootTime();
    if (source.version() >= ordersVersion) {
      try {
        for await (const order of readOrders(source, clock, ended)) {
          report(null);
          applyOrder(order);
        }
      } catch (error) {
        if (!ended.aborted) report(withRemedy(factsOf(error)));
      }
    }
    if (clock.bootTime() - began > steadyMs) pause = firstPauseMs;
    await clock.sleep(pause, ended).catch(() => {});
  }
}

async function* readOrders(source: PushSource, clock: Clock, ended: AbortSignal): AsyncGenerator<Order> {
  const closing = new AbortController();
  try {
    const body = await withTimeout(clock, silenceMs, action, (timeout) =>
      source.openPushStream(AbortSignal.any([ended, timeout, closing.signal])),
    );
    for await (const { data } of readEvents(untilSilence(body, clock), eventMax)) {
      const order = orderSchema.safeParse(parseJson(data));
      if (order.success) yield order.data; // an order that a newer instance has added is skipped
    }
  } finally {
    closing.abort();
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Yields the bytes of the stream until a silence of `silenceMs`. The caller closes the stream then. */
async function* untilSilence(body: AsyncIterable<Uint8Array>, clock: Clock): AsyncGenerator<Uint8Array> {
  const chunks = body[Symbol.asyncIterator]();
  for (;;) {
    const next = chunks.next();
    next.catch(() => {}); // after a silence, nobody waits for it
    const part = await withTimeout(clock, silenceMs, action, (silence) => {
      const silent = new Promise<null>((resolve) => {
        silence.addEventListener('abort', () => resolve(null));
      });
      return Promise.race([next, silent]);
    });
    if (part === null || part.done) return;
    yield part.value;
  }
}
