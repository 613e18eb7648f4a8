import { type Clock, factsOf, readEvents } from '@fumehood/base';
import { type Order, orderSchema, ordersVersion } from '@fumehood/protocol';
import { onChange, tellOf } from '../log.ts';
import { within } from './retry.ts';

/** An instance that tells things early. */
export interface OrderSource {
  /** The version of the protocol that it and we speak. */
  readonly version: () => number;
  /** Server-sent events, until one of the two sides ends them. From `ordersVersion` on. */
  openOrders(signal: AbortSignal): Promise<ReadableStream<Uint8Array>>;
}

const firstPauseMs = 250;
const longestPauseMs = 10_000;
/** A stream that lasted this long was good: after it, the next one is tried at once. */
const steadyMs = 30_000;
/** The instance says something every 10 s: after this silence the connection is dead. */
const silenceMs = 25_000;
/** Longest event that is taken, characters. */
const eventMax = 65_536;

/**
 * Follows the instance's push stream until `ended`, over every interruption, and has each order obeyed. Nothing depends on it:
 * what is lost here comes with the next heartbeat.
 */
export async function followOrders(
  deps: {
    readonly source: OrderSource;
    readonly clock: Clock;
    readonly obey: (order: Order) => void;
    readonly onTrouble: (message: string) => void;
  },
  ended: AbortSignal,
): Promise<void> {
  const { source, clock, obey } = deps;
  const say = onChange(deps.onTrouble);
  for (let pause = firstPauseMs; !ended.aborted; pause = Math.min(pause * 2, longestPauseMs)) {
    const began = clock.bootTime();
    if (source.version() >= ordersVersion) {
      try {
        for await (const order of ordersOf(source, clock, ended)) {
          say(null);
          obey(order);
        }
      } catch (error) {
        if (!ended.aborted) say(tellOf(factsOf(error)));
      }
    }
    if (clock.bootTime() - began > steadyMs) pause = firstPauseMs;
    await clock.sleep(pause, ended).catch(() => {});
  }
}

async function* ordersOf(source: OrderSource, clock: Clock, ended: AbortSignal): AsyncGenerator<Order> {
  const body = await within(clock, silenceMs, 'be told what changes', (late) =>
    source.openOrders(AbortSignal.any([ended, late])),
  );
  for await (const { data } of readEvents(audible(body, clock), eventMax)) {
    const order = orderSchema.safeParse(parsed(data));
    if (order.success) yield order.data; // a newer instance may tell what we do not know
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** The stream's bytes, ended by a long silence. */
async function* audible(body: ReadableStream<Uint8Array>, clock: Clock): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  try {
    for (;;) {
      const part = await within(clock, silenceMs, 'be told what changes', (late) => {
        late.addEventListener('abort', () => void reader.cancel(late.reason).catch(() => {}));
        return reader.read();
      });
      if (part.done) return;
      yield part.value;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}
