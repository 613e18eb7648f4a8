import type { DatabaseError } from 'pg';
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

/**
 * Gathers questions, by database and key, and asks them together, `most` at once at the most: the first at the end of the caller's
 * turn, those that come meanwhile when that one is answered. `ask` is one statement and returns an answer for each, in their order.
 * Where PostgreSQL refuses it, nothing was done, and each is asked by itself, so that nobody gets the error of another. Where the
 * connection broke nobody knows what was done: that is everybody's error.
 */
export function together<Q, A>(
  most: number,
  ask: (db: Db, questions: readonly Q[]) => Promise<readonly A[]>,
  keyOf: (question: Q) => string = () => '',
): (db: Db, question: Q) => Promise<A> {
  interface Asked extends PromiseWithResolvers<A> {
    readonly question: Q;
  }
  const databases = new WeakMap<Db, Map<string, Asked[]>>();
  const answer = async (db: Db, asked: readonly Asked[]): Promise<void> => {
    try {
      const answers = await ask(
        db,
        asked.map(({ question }) => question),
      );
      for (const [place, { resolve }] of asked.entries()) resolve(answers[place] as A);
    } catch (error) {
      const refused = (error as Partial<DatabaseError>).severity === 'ERROR';
      if (refused && asked.length > 1) await Promise.all(asked.map((one) => answer(db, [one])));
      else for (const one of asked) one.reject(error);
    }
  };
  const answerWaiting = async (db: Db, waiting: Map<string, Asked[]>, key: string, asked: Asked[]) => {
    await Promise.resolve(); // what the same turn adds goes with it
    while (asked.length > 0) await answer(db, asked.splice(0, most));
    waiting.delete(key);
  };
  return (db, question) => {
    const one = { ...Promise.withResolvers<A>(), question };
    const waiting = databases.get(db) ?? new Map<string, Asked[]>();
    databases.set(db, waiting);
    const key = keyOf(question);
    const others = waiting.get(key);
    if (others) others.push(one);
    else {
      const asked = [one];
      waiting.set(key, asked);
      void answerWaiting(db, waiting, key, asked);
    }
    return one.promise;
  };
}
