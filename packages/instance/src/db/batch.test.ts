import { describe, expect, test } from 'vitest';
import { batched } from './batch.ts';
import type { Db } from './connect.ts';

const db = {} as Db;
const eventLoopTurn = () => new Promise((resolve) => setImmediate(resolve));

/** A batched function that doubles numbers. Each batch waits until `finish` is called. */
function makeDouble(
  max: number,
  fails: (numbers: readonly number[]) => boolean = () => false,
  severity: string | null = 'ERROR',
  keyOf?: (n: number) => string,
) {
  const batches: (readonly number[])[] = [];
  const running: PromiseWithResolvers<void>[] = [];
  const double = batched<number, number>(
    max,
    async (_, numbers) => {
      batches.push(numbers);
      const gate = Promise.withResolvers<void>();
      running.push(gate);
      await gate.promise;
      if (fails(numbers)) throw Object.assign(new Error(`no ${numbers.join(' ')}`), { severity });
      return numbers.map((n) => 2 * n);
    },
    keyOf,
  );
  const finish = async () => {
    for (const gate of running.splice(0)) gate.resolve();
    await eventLoopTurn();
  };
  return { batches, finish, double: (n: number, where = db) => double(where, n) };
}

describe('batched', () => {
  test('runs the requests of one turn, then all that came while these were running', async () => {
    const { batches, finish, double } = makeDouble(10);
    const first = [double(1), double(2)];
    await eventLoopTurn();
    const next = [double(3), double(4), double(5)];
    await eventLoopTurn();
    expect(batches).toEqual([[1, 2]]);
    await finish();
    expect(batches).toEqual([
      [1, 2],
      [3, 4, 5],
    ]);
    await finish();
    expect(await Promise.all([...first, ...next])).toEqual([2, 4, 6, 8, 10]);
    const last = double(6);
    await eventLoopTurn();
    await finish();
    expect(await last).toBe(12);
  });

  test('puts no more than the maximum into one batch', async () => {
    const { batches, finish, double } = makeDouble(2);
    const all = [1, 2, 3].map((n) => double(n));
    await eventLoopTurn();
    await finish();
    await finish();
    expect(await Promise.all(all)).toEqual([2, 4, 6]);
    expect(batches).toEqual([[1, 2], [3]]);
  });

  test('runs each request by itself after PostgreSQL refused the batch', async () => {
    const { batches, finish, double } = makeDouble(10, (numbers) => numbers.includes(2));
    const all = Promise.allSettled([1, 2, 3].map((n) => double(n)));
    await eventLoopTurn();
    await finish();
    await finish();
    expect(await all).toEqual([
      { status: 'fulfilled', value: 2 },
      { status: 'rejected', reason: expect.objectContaining({ message: 'no 2' }) },
      { status: 'fulfilled', value: 6 },
    ]);
    expect(batches).toEqual([[1, 2, 3], [1], [2], [3]]);
  });

  test.each([null, 'FATAL'])(
    'rejects every call and repeats nothing when the batch may have been committed (severity %s)',
    async (severity) => {
      const { batches, finish, double } = makeDouble(10, () => true, severity);
      const all = Promise.allSettled([1, 2].map((n) => double(n)));
      await eventLoopTurn();
      await finish();
      expect((await all).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
      expect(batches).toEqual([[1, 2]]);
    },
  );

  test('runs the batches of different keys side by side', async () => {
    const { batches, finish, double } = makeDouble(10, undefined, undefined, (n) => (n % 2 ? 'odd' : 'even'));
    const all = [1, 2, 3, 4].map((n) => double(n));
    await eventLoopTurn();
    expect(batches).toEqual([
      [1, 3],
      [2, 4],
    ]);
    await finish();
    expect(await Promise.all(all)).toEqual([2, 4, 6, 8]);
  });

  test('never mixes the requests of two databases', async () => {
    const { batches, finish, double } = makeDouble(10);
    const all = [double(1), double(2, {} as Db)];
    await eventLoopTurn();
    expect(batches).toEqual([[1], [2]]);
    await finish();
    expect(await Promise.all(all)).toEqual([2, 4]);
  });
});
