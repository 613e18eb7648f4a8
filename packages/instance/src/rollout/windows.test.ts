import { type RolloutWindow, rolloutWindowSchema, setRolloutSchema } from '@fumehood/protocol';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nextTurn, windowAt } from './windows.ts';

const windows = (...all: unknown[]) => all.map((one) => rolloutWindowSchema.parse(one));
const at = (text: string) => Date.parse(`${text}:00Z`);

// The 5th of January 2026 is a Monday.
const office = windows(
  { rate: 'unlimited' },
  { rate: '10/hour', days: ['monday', 'tuesday'], start: '08:00', end: '18:00' },
  { rate: 0, days: ['monday'], start: '12:00', end: '13:00' },
);

describe('of several windows the last one counts', () => {
  test.each([
    ['2026-01-05T07:59', 0, '2026-01-05T08:00'],
    ['2026-01-05T08:00', 360_000, '2026-01-05T12:00'],
    ['2026-01-05T12:30', null, '2026-01-05T13:00'],
    ['2026-01-05T13:00', 360_000, '2026-01-05T18:00'],
    ['2026-01-06T12:30', 360_000, '2026-01-06T18:00'],
    ['2026-01-06T18:00', 0, '2026-01-12T08:00'],
  ])('at %s the pace is %s until %s', (time, pace, until) => {
    expect(windowAt(office, at(time))).toEqual({ pace, until: at(until) });
  });
});

test.each([
  ['no limit', null, { pace: 0, until: null }],
  ['no window', [], { pace: null, until: null }],
  ['a rate for all times', windows({ rate: '2/second' }), { pace: 500, until: null }],
])('%s counts for ever', (_what, all, expected) => {
  expect(windowAt(all, at('2026-01-05T12:00'))).toEqual(expected);
});

test('a window may end with the day', () => {
  const late = windows({ rate: 'unlimited', start: '22:00', end: '24:00' });
  expect(windowAt(late, at('2026-01-05T23:59'))).toEqual({ pace: 0, until: at('2026-01-06T00:00') });
});

test.each([
  [{ rate: '0/hour' }],
  [{ rate: '1/day' }],
  [{ rate: 1 }],
  [{ rate: 0, start: '08:00' }],
  [{ rate: 0, start: '18:00', end: '08:00' }],
  [{ rate: 0, start: '08:00', end: '08:00' }],
  [{ rate: 0, start: '8:00', end: '09:00' }],
  [{ rate: 0, days: ['someday'] }],
])('%j is no window', (window) => {
  expect(setRolloutSchema.safeParse({ windows: [window] }).success).toBe(false);
});

const minute = fc
  .nat(1_440)
  .map((all) => `${String(Math.floor(all / 60)).padStart(2, '0')}:${String(all % 60).padStart(2, '0')}`);
const anyWindow: fc.Arbitrary<RolloutWindow> = fc
  .record({
    rate: fc.constantFrom('unlimited' as const, 0 as const, '1/second', '7/minute', '3/hour'),
    days: fc.subarray(['sunday', 'monday', 'wednesday', 'saturday'] as const),
    times: fc.option(fc.tuple(minute, minute).filter(([a, b]) => a !== b)),
  })
  .map(({ rate, days, times }) => {
    const [start, end] = (times ?? []).toSorted();
    return { rate, days: [...days], ...(start !== undefined && end !== undefined && { start, end }) };
  });
const anyTime = fc.integer({ min: at('2026-01-01T00:00'), max: at('2026-02-01T00:00') });

test('the pace is the same in every minute until it is said to be another one', () => {
  fc.assert(
    fc.property(fc.array(anyWindow, { maxLength: 4 }), anyTime, (all, time) => {
      const { pace, until } = windowAt(all, time);
      const end = Math.min(until ?? Number.POSITIVE_INFINITY, time + 8 * 86_400_000);
      for (let now = time; now < end; now += 60_000 * 13) expect(windowAt(all, now).pace).toBe(pace);
      expect(windowAt(all, end - 1).pace).toBe(pace);
      if (until !== null) expect(windowAt(all, until).pace).not.toBe(pace);
    }),
    { numRuns: 50 },
  );
});

describe('the next change may be made', () => {
  test.each([
    ['now, without a limit', null, '2026-01-05T10:00', '2026-01-05T11:00', '2026-01-05T10:00', 0],
    [
      'when the last one lets it',
      office,
      '2026-01-05T10:00',
      '2026-01-05T10:06',
      '2026-01-05T10:06',
      360_000,
    ],
    [
      'now, if it lets it already',
      office,
      '2026-01-05T10:00',
      '2026-01-05T09:00',
      '2026-01-05T10:00',
      360_000,
    ],
    [
      'after a time in which none may be made',
      office,
      '2026-01-05T12:10',
      '2026-01-05T12:15',
      '2026-01-05T13:00',
      360_000,
    ],
    [
      'when its turn is in such a time',
      office,
      '2026-01-05T11:59',
      '2026-01-05T12:05',
      '2026-01-05T13:00',
      360_000,
    ],
    [
      'at once when the limit ends before its turn',
      office,
      '2026-01-05T17:58',
      '2026-01-05T18:04',
      '2026-01-05T18:00',
      0,
    ],
  ])('%s', (_what, all, now, nextAt, expected, pace) => {
    expect(nextTurn(all, at(nextAt), at(now))).toEqual({ at: at(expected), pace });
  });

  test('never, if no window lets any be made', () => {
    expect(nextTurn([], 0, at('2026-01-05T10:00'))).toBeNull();
  });

  test('in no time without a window for it, and never faster than the pace of that time', () => {
    fc.assert(
      fc.property(fc.array(anyWindow, { maxLength: 4 }), anyTime, (all, time) => {
        let nextAt = 0;
        let now = time;
        for (let turns = 0; turns < 5; turns += 1) {
          const turn = nextTurn(all, nextAt, now);
          if (turn === null) return;
          expect(turn.at).toBeGreaterThanOrEqual(now);
          expect(windowAt(all, turn.at).pace).toBe(turn.pace);
          if (turn.pace > 0) expect(turn.at).toBeGreaterThanOrEqual(nextAt);
          nextAt = turn.at + turn.pace;
          now = turn.at;
        }
      }),
      { numRuns: 50 },
    );
  });
});
