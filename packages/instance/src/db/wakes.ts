import type { Clock } from '@fumehood/base';
import { Client } from 'pg';
import type { Connection } from '../config.ts';
import { clientConfig } from './connect.ts';
import { readAnnouncement } from './transaction.ts';

/** A subscriber's view of one topic. */
interface Subscription {
  /**
   * Waits for a wake that came since the last call, for at most `ms` or until `signal` is aborted. Returns the number of wakes;
   * never rejects.
   */
  next(ms: number, signal: AbortSignal): Promise<number>;
  close(): void;
}

/** The wakes of all processes. They are hints and can be lost: everybody who waits also polls the database. */
export interface Wakes {
  subscribe(topic: string): Subscription;
  close(): Promise<void>;
}

/** Listens for notifications on a connection of its own, and opens a new one when it breaks. */
export function listen(connection: Connection, clock: Clock): Wakes {
  const topics = new Map<string, Set<(times: number) => void>>();
  const closing = new AbortController();
  let current: Client | undefined;

  const notifyAll = (topic: string, times: number) => {
    for (const notify of topics.get(topic) ?? []) notify(times);
  };
  const listenUntilBroken = async () => {
    const client = new Client(clientConfig(connection));
    current = client;
    const ended = new Promise<void>((resolve) => {
      client.on('end', resolve);
      client.on('error', () => resolve());
    });
    client.on('notification', (message) => {
      const { topic, times } = readAnnouncement(message.payload ?? '');
      notifyAll(topic, times);
    });
    await client.connect();
    await client.query('listen fumehood');
    // Wakes were lost while nobody listened: wake everybody, as if any number had come.
    for (const topic of topics.keys()) notifyAll(topic, Infinity);
    await ended;
  };
  const running = (async () => {
    while (!closing.signal.aborted) {
      await listenUntilBroken().catch(() => {}); // without PostgreSQL, subscribers poll until it is back
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
            const notified = new Promise<void>((resolve) => {
              woken = resolve;
            });
            const timeout = clock.sleep(ms, AbortSignal.any([signal, done.signal])).catch(() => {});
            await Promise.race([notified, timeout]);
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
