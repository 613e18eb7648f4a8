import type { Db } from './connect.ts';

/** What comes within this time of the last sending is sent together. */
const gatherMs = 10;

/**
 * Gathers calls, by database, and sends them together: the first at the end of the caller's turn, those that come meanwhile with
 * the next. Only for what may be lost: an error of `send` is nobody's. `send` gets how often each key was given.
 */
export function gathered<K>(
  send: (db: Db, counts: ReadonlyMap<K, number>) => Promise<unknown>,
): (db: Db, key: K) => void {
  const waiting = new WeakMap<Db, Map<K, number>>();
  const sendWaiting = async (db: Db) => {
    await Promise.resolve(); // what the same turn adds goes with it
    const counts = waiting.get(db) ?? new Map<K, number>();
    waiting.set(db, new Map());
    await send(db, counts).catch(() => {});
    setTimeout(() => {
      if (waiting.get(db)?.size) void sendWaiting(db);
      else waiting.delete(db);
    }, gatherMs).unref();
  };
  return (db, key) => {
    const counts = waiting.get(db);
    if (counts) counts.set(key, (counts.get(key) ?? 0) + 1);
    else {
      waiting.set(db, new Map([[key, 1]]));
      void sendWaiting(db);
    }
  };
}
