import { describe, expect, test } from 'vitest';
import type { Db } from './connect.ts';
import { together } from './gather.ts';

const db = {} as Db;
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Asks for the doubles of numbers; each asking waits until it is let go. */
function doubles(
  most: number,
  fails: (numbers: readonly number[]) => boolean = () => false,
  severity: string | null = 'ERROR',
  keyOf?: (n: number) => string,
) {
  const asked: (readonly number[])[] = [];
  const gates: PromiseWithResolvers<void>[] = [];
  const ask = together<number, number>(
    most,
    async (_, numbers) => {
      asked.push(numbers);
      const gate = Promise.withResolvers<void>();
      gates.push(gate);
      await gate.promise;
      if (fails(numbers)) throw Object.assign(new Error(`no ${numbers.join(' ')}`), { severity });
      return numbers.map((n) => 2 * n);
    },
    keyOf,
  );
  const letGo = async () => {
    for (const gate of gates.splice(0)) gate.resolve();
    await turn();
  };
  return { asked, letGo, ask: (n: number, where = db) => ask(where, n) };
}

describe('questions that are asked together', () => {
  test('are those of one turn, and then all that came while these were asked', async () => {
    const { asked, letGo, ask } = doubles(10);
    const first = [ask(1), ask(2)];
    await turn();
    const next = [ask(3), ask(4), ask(5)];
    await turn();
    expect(asked).toEqual([[1, 2]]);
    await letGo();
    expect(asked).toEqual([
      [1, 2],
      [3, 4, 5],
    ]);
    await letGo();
    expect(await Promise.all([...first, ...next])).toEqual([2, 4, 6, 8, 10]);
    const last = ask(6);
    await turn();
    await letGo();
    expect(await last).toBe(12);
  });

  test('are so many at the most', async () => {
    const { asked, letGo, ask } = doubles(2);
    const all = [1, 2, 3].map((n) => ask(n));
    await turn();
    await letGo();
    await letGo();
    expect(await Promise.all(all)).toEqual([2, 4, 6]);
    expect(asked).toEqual([[1, 2], [3]]);
  });

  test('fail each for itself: the others have their answers', async () => {
    const { asked, letGo, ask } = doubles(10, (numbers) => numbers.includes(2));
    const all = Promise.allSettled([1, 2, 3].map((n) => ask(n)));
    await turn();
    await letGo();
    await letGo();
    expect(await all).toEqual([
      { status: 'fulfilled', value: 2 },
      { status: 'rejected', reason: expect.objectContaining({ message: 'no 2' }) },
      { status: 'fulfilled', value: 6 },
    ]);
    expect(asked).toEqual([[1, 2, 3], [1], [2], [3]]);
  });

  test.each([null, 'FATAL'])(
    'fail together, and are not asked twice, where it may have been done (%s)',
    async (severity) => {
      const { asked, letGo, ask } = doubles(10, () => true, severity);
      const all = Promise.allSettled([1, 2].map((n) => ask(n)));
      await turn();
      await letGo();
      expect((await all).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
      expect(asked).toEqual([[1, 2]]);
    },
  );

  test('are of one key, and wait for those of no other', async () => {
    const { asked, letGo, ask } = doubles(10, undefined, undefined, (n) => (n % 2 ? 'odd' : 'even'));
    const all = [1, 2, 3, 4].map((n) => ask(n));
    await turn();
    expect(asked).toEqual([
      [1, 3],
      [2, 4],
    ]);
    await letGo();
    expect(await Promise.all(all)).toEqual([2, 4, 6, 8]);
  });

  test('are of one database', async () => {
    const { asked, letGo, ask } = doubles(10);
    const all = [ask(1), ask(2, {} as Db)];
    await turn();
    expect(asked).toEqual([[1], [2]]);
    await letGo();
    expect(await Promise.all(all)).toEqual([2, 4]);
  });
});
