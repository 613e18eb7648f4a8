import { systemClock } from '@fumehood/base';
import { describe, expect, test } from 'vitest';
import { makeSlots } from './slots.ts';

const here = new AbortController().signal;
const slots = (perHolder: number, all: number, { waiting = 0, turnMs = 10_000 } = {}) =>
  makeSlots({ what: 'clones', perHolder, all, waiting, turnMs }, systemClock);

describe('turns', () => {
  test('of one holder are refused beyond its share, and others get theirs', async () => {
    const bounded = slots(2, 3);
    const first = await bounded.take('one', here);
    await bounded.take('one', here);
    await expect(bounded.take('one', here)).rejects.toMatchObject({ code: 'too_many_at_once', status: 429 });
    await bounded.take('other', here);
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    await bounded.take('one', here);
    await expect(bounded.take('one', here)).rejects.toMatchObject({ code: 'too_many_at_once' });
    // Without a share, one holder takes them all.
    const open = slots(Infinity, 3);
    for (let taken = 0; taken < 3; taken += 1) await open.take('one', here);
  });

  test('are given in order, each after the end of an earlier one', async () => {
    const bounded = slots(9, 1, { waiting: 1 });
    const first = await bounded.take('one', here);
    const order: string[] = [];
    const second = bounded.take('two', here).then((turn) => (order.push('two'), turn));
    const third = bounded.take('three', here).then((turn) => (order.push('three'), turn));
    await Promise.resolve();
    expect(order).toEqual([]);
    first[Symbol.dispose]();
    (await second)[Symbol.dispose]();
    await third;
    expect(order).toEqual(['two', 'three']);
  });

  test('of a holder that has its share wait, and those of others overtake them', async () => {
    const bounded = slots(1, 2, { waiting: 1 });
    const first = await bounded.take('one', here);
    let served = false;
    const second = bounded.take('one', here).then((turn) => {
      served = true;
      return turn;
    });
    await expect(bounded.take('one', here)).rejects.toMatchObject({ code: 'too_many_at_once' });
    await bounded.take('other', here);
    expect(served).toBe(false);
    first[Symbol.dispose]();
    await second;
  });

  test('that do not come in time are refused, and leave no trace', async () => {
    const bounded = slots(1, 1, { waiting: 1, turnMs: 20 });
    const first = await bounded.take('one', here);
    await expect(bounded.take('two', here)).rejects.toMatchObject({ code: 'instance_busy', status: 503 });
    await expect(bounded.take('two', AbortSignal.timeout(1))).rejects.toMatchObject({
      code: 'instance_busy',
    });
    first[Symbol.dispose]();
    await bounded.take('two', here);
  });
});
