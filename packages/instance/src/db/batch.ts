import type { DatabaseError } from 'pg';
import type { Db } from './connect.ts';

/** Keys that are given within this time after a send go with the next one, milliseconds. */
const coalesceMs = 10;

/**
 * Returns a function that collects keys for each database and hands them to `send` together: the first at the end of the caller's
 * turn of the event loop, later ones with the next send. `send` gets how often each key was given. Only for hints: when `send`
 * rejects, its keys are lost, and no caller hears of it.
 */
export function coalesced<K>(
  send: (db: Db, counts: ReadonlyMap<K, number>) => Promise<unknown>,
): (db: Db, key: K) => void {
  const waiting = new WeakMap<Db, Map<K, number>>();
  const sendWaiting = async (db: Db) => {
    await Promise.resolve(); // keys that the same turn adds go with this send
    const counts = waiting.get(db) ?? new Map<K, number>();
    waiting.set(db, new Map());
    await send(db, counts).catch(() => {});
    setTimeout(() => {
      if (waiting.get(db)?.size) void sendWaiting(db);
      else waiting.delete(db);
    }, coalesceMs).unref();
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

/**
 * Returns a function that batches calls for each database and key. `run` executes one statement for at most `max` requests and
 * returns an answer for each, in their order. The first batch runs at the end of the caller's turn of the event loop; requests
 * that come while it runs make up the next batch. No request waits for a timer, so one that comes alone is not slower.
 *
 * When PostgreSQL refuses the statement (severity ERROR), it has changed nothing: each request then runs by itself, so that no
 * caller gets the error of another one's request. After any other error, such as a broken connection, the statement may have
 * been committed: every caller of the batch gets the error.
 */
export function batched<Q, A>(
  max: number,
  run: (db: Db, requests: readonly Q[]) => Promise<readonly A[]>,
  keyOf: (request: Q) => string = () => '',
): (db: Db, request: Q) => Promise<A> {
  interface Call extends PromiseWithResolvers<A> {
    readonly request: Q;
  }
  const databases = new WeakMap<Db, Map<string, Call[]>>();
  const runBatch = async (db: Db, calls: readonly Call[]): Promise<void> => {
    try {
      const answers = await run(
        db,
        calls.map(({ request }) => request),
      );
      for (const [index, { resolve }] of calls.entries()) resolve(answers[index] as A);
    } catch (error) {
      const refused = (error as Partial<DatabaseError>).severity === 'ERROR';
      if (refused && calls.length > 1) await Promise.all(calls.map((call) => runBatch(db, [call])));
      else for (const call of calls) call.reject(error);
    }
  };
  const drain = async (db: Db, queues: Map<string, Call[]>, key: string, queue: Call[]) => {
    await Promise.resolve(); // requests that the same turn adds go with this batch
    while (queue.length > 0) await runBatch(db, queue.splice(0, max));
    queues.delete(key);
  };
  return (db, request) => {
    const call = { ...Promise.withResolvers<A>(), request };
    const queues = databases.get(db) ?? new Map<string, Call[]>();
    databases.set(db, queues);
    const key = keyOf(request);
    const waiting = queues.get(key);
    if (waiting) waiting.push(call);
    else {
      const queue = [call];
      queues.set(key, queue);
      void drain(db, queues, key, queue);
    }
    return call.promise;
  };
}
