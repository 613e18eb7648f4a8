import { describe, expect, test } from 'vitest';
import type { ExecutorState } from '../../queue/sql/executors.ts';
import { ordersSince } from './push.ts';

const attempt = { jobId: 7, queue: 'runs' as const, attempt: 1 };
const orders = (changes: Partial<ExecutorState> = {}): ExecutorState => ({
  ...{ draining: false, stream: 1, held: [], lost: [] },
  ...changes,
});
const held = (canceling: boolean, of = attempt) => [{ ...of, canceling }];

describe('the orders of an executor', () => {
  test('begin with the present state', () => {
    expect(ordersSince(null, orders())).toEqual([{ type: 'drain', draining: false }]);
    expect(ordersSince(null, orders({ draining: true, held: held(true) }))).toEqual([
      { type: 'drain', draining: true },
      { type: 'cancel', ...attempt },
    ]);
  });

  test('are none when nothing has changed', () => {
    const same = orders({ draining: true, held: held(true) });
    expect(ordersSince(same, same)).toEqual([]);
  });

  test('have each change once', () => {
    expect(ordersSince(orders({ held: held(false) }), orders({ held: held(true) }))).toEqual([
      { type: 'cancel', ...attempt },
    ]);
    expect(ordersSince(orders({ draining: true }), orders())).toEqual([{ type: 'drain', draining: false }]);
    expect(ordersSince(orders({ held: held(false) }), orders({ lost: [attempt] }))).toEqual([
      { type: 'lost', ...attempt },
    ]);
  });

  test('cancel a later attempt of a job whose earlier attempt was canceled', () => {
    const again = { ...attempt, attempt: 2 };
    expect(ordersSince(orders({ held: held(true) }), orders({ held: held(true, again) }))).toEqual([
      { type: 'cancel', ...again },
    ]);
  });
});
