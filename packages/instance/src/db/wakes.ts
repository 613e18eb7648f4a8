import type { Clock } from '@fumehood/base';
import { Client } from 'pg';
import { clientConfig, type Connection } from './connect.ts';
import { readAnnouncement } from './transaction.ts';

/** Somebody who waits for a topic to change. */
interface Subscription {
  /**
   * Resolves at the next change since the last call, after `ms`, or when `signal` is aborted, with how many changes there were;
   * never rejects.
   */
  next(ms: number, signal: AbortSignal): Promise<number>;
  close(): void;
}

/** Changes that other connections announced. Hints only: whoever waits asks the database again after a while anyway. */
export interface Wakes {
  subscribe(topic: string): Subscription;
  close(): Promise<void>;
}

/** Listens on a connection of its own, and makes a new one when it breaks. */
export function listen(connection: Connection, clock: Clock): Wakes {
  const topics = new Map<string, Set<(times: number) => void>>();
  const closing = new AbortController();
  let current: Client | undefined;

  const ring = (topic: string, times: number) => {
    for (const notify of topics.get(topic) ?? []) notify(times);
  };
  const stay = async () => {
    const client = new Client(clientConfig(connection));
    current = client;
    const ended = new Promise<void>((resolve) => {
      client.on('end', resolve);
      client.on('error', () => resolve());
    });
    client.on('notification', (message) => {
      const { topic, times } = readAnnouncement(message.payload ?? '');
      ring(topic, times);
    });
    await client.connect();
    await client.query('listen fumehood');
    // What happened while nobody listened, however often.
    for (const topic of topics.keys()) ring(topic, Infinity);
    await ended;
  };
  const running = (async () => {
    while (!closing.signal.aborted) {
      await stay().catch(() => {}); // PostgreSQL is away: those who wait ask by themselves until it is back
      await current?.end().catch(() => {});
      await clock.sleep(500, closing.signal).catch(() => {});
    }
  })();

  return {
    subscribe(topic) {
      let pending = 0;
      let woken: (() => void) | undefined;
      const notify = (times: number) => {
        pending += times;
        woken?.();
      };
      const members = topics.get(topic) ?? new Set();
      topics.set(topic, members.add(notify));
      return {
        async next(ms, signal) {
          if (pending === 0 && !signal.aborted) {
            const done = new AbortController();
            const rung = new Promise<void>((resolve) => {
              woken = resolve;
            });
            const late = clock.sleep(ms, AbortSignal.any([signal, done.signal])).catch(() => {});
            await Promise.race([rung, late]);
            done.abort();
            woken = undefined;
          }
          const times = pending;
          pending = 0;
          return times;
        },
        close() {
          members.delete(notify);
          if (members.size === 0 && topics.get(topic) === members) topics.delete(topic);
        },
      };
    },
    async close() {
      closing.abort();
      await current?.end().catch(() => {});
      await running;
    },
  };
}
