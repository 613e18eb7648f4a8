import { sql } from 'kysely';
import { coalesced } from './batch.ts';
import type { Db } from './connect.ts';

/** The topics that an open transaction has woken: announced when it has committed. */
const wokenTopics = new WeakMap<Db, string[]>();

/**
 * Runs `run` in a transaction. The topics that it wakes are announced after the commit, by another statement: PostgreSQL commits
 * transactions that hold a notification one at a time, with their syncs to disk.
 */
export async function transaction<T>(db: Db, run: (tx: Db) => Promise<T>): Promise<T> {
  const topics: string[] = [];
  const result = await db.transaction().execute(async (tx) => {
    wokenTopics.set(tx, topics);
    return await run(tx);
  });
  for (const topic of topics) announce(db, topic);
  return result;
}

/**
 * Wakes those who wait for `topic` in any process: at once, or after the commit if `db` is a transaction of `transaction`. A
 * wake is a hint that can be lost; everybody who waits also polls.
 */
export function wake(db: Db, topic: string): void {
  const topics = wokenTopics.get(db);
  if (topics) topics.push(topic);
  else announce(db, topic);
}

/** The payload of a notification: the topic, after the number of wakes if there were several. Topics begin with a letter. */
const writeAnnouncement = (topic: string, times: number) => (times === 1 ? topic : `${times} ${topic}`);

/** Parses the payload of a notification. */
export function readAnnouncement(payload: string): { readonly topic: string; readonly times: number } {
  const [, times, topic] = /^(?:(\d+) )?(.*)$/s.exec(payload) ?? [];
  return { topic: topic ?? '', times: Number(times ?? 1) };
}

const announce = coalesced<string>((db, topics) =>
  sql`
    select set_config('synchronous_commit', 'off', true), pg_notify('fumehood', announcement)
    from unnest(${[...topics].map(([topic, times]) => writeAnnouncement(topic, times))}::text[]) as announcement
  `.execute(db),
);
