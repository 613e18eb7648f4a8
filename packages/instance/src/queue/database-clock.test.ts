import { describe, expect, test } from 'vitest';
import { steadyClock } from './database-clock.ts';

const holdMs = 26_000;

/** A database whose clock shows `offset` more than the time since the start, read with this many milliseconds for the answer. */
function database() {
  const steps: number[] = [];
  const believed = steadyClock(holdMs, (ms) => steps.push(ms));
  return {
    steps,
    at: (now: number, offset: number, took = 0) =>
      believed({ database: now + took + offset, before: now, after: now + took }) - offset,
  };
}

describe("the database's clock", () => {
  test('is believed while it goes as ours does', () => {
    const { at, steps } = database();
    for (let now = 0; now < 60_000; now += 500) expect(at(now, 1_000_000)).toBe(now);
    expect(steps).toEqual([]);
  });

  test('that was set forward is believed when all leases from before are over', () => {
    const { at, steps } = database();
    at(0, 0);
    for (let now = 500; now < 500 + holdMs; now += 500) expect(at(now, 3_600_000)).toBe(now - 3_600_000);
    expect(at(500 + holdMs, 3_600_000)).toBe(500 + holdMs);
    expect(at(1_000 + holdMs, 3_600_000)).toBe(1_000 + holdMs);
    expect(steps).toEqual([3_600_000]);
  });

  test('that was set forward again meanwhile is believed when the leases from before that are over', () => {
    const { at, steps } = database();
    at(0, 0);
    at(500, 5_000);
    for (let now = 20_000; now < 20_000 + holdMs; now += 500) expect(at(now, 60_000)).toBe(now - 60_000);
    expect(at(20_000 + holdMs, 60_000)).toBe(20_000 + holdMs);
    expect(steps).toEqual([5_000, 55_000]);
  });

  test('that was set back is believed at once, and so is its way back', () => {
    const { at, steps } = database();
    at(0, 0);
    expect(at(500, -10_000)).toBe(500);
    expect(at(1_000, -10_000)).toBe(1_000);
    // What was set back and then right again is a step forward.
    expect(at(1_500, 0)).toBe(1_500 - 10_000);
    expect(steps).toEqual([10_000]);
  });

  test('read by a slow answer is not mistaken for one that was set forward', () => {
    const { at, steps } = database();
    at(0, 0);
    // Where in those 5 s it was read nobody knows: the earliest is taken.
    expect(at(500, 0, 5_000)).toBe(500);
    expect(at(6_000, 0)).toBe(6_000);
    expect(steps).toEqual([]);
  });

  test('may drift as clocks do', () => {
    const { at, steps } = database();
    for (let now = 0; now < 600_000; now += 500) at(now, now * 0.0005);
    expect(steps).toEqual([]);
  });
});
