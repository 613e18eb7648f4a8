import { describe, expect, test } from 'vitest';
import { steadyClock } from './database-clock.ts';

const holdMs = 26_000;

/**
 * Makes a clock that is read at boot time `now`, with an answer that takes `took` milliseconds, while it is `offset` ahead of the
 * boot time. `at` returns the believed time as a boot time.
 */
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
  test('is believed while it runs like the clock of this process', () => {
    const { at, steps } = database();
    for (let now = 0; now < 60_000; now += 500) expect(at(now, 1_000_000)).toBe(now);
    expect(steps).toEqual([]);
  });

  test('is believed after a step forward when all leases from before are over', () => {
    const { at, steps } = database();
    at(0, 0);
    for (let now = 500; now < 500 + holdMs; now += 500) expect(at(now, 3_600_000)).toBe(now - 3_600_000);
    expect(at(500 + holdMs, 3_600_000)).toBe(500 + holdMs);
    expect(at(1_000 + holdMs, 3_600_000)).toBe(1_000 + holdMs);
    expect(steps).toEqual([3_600_000]);
  });

  test('is believed after a second step forward when all leases from before that step are over', () => {
    const { at, steps } = database();
    at(0, 0);
    at(500, 5_000);
    for (let now = 20_000; now < 20_000 + holdMs; now += 500) expect(at(now, 60_000)).toBe(now - 60_000);
    expect(at(20_000 + holdMs, 60_000)).toBe(20_000 + holdMs);
    expect(steps).toEqual([5_000, 55_000]);
  });

  test('is believed at once after a step back', () => {
    const { at, steps } = database();
    at(0, 0);
    expect(at(500, -10_000)).toBe(500);
    expect(at(1_000, -10_000)).toBe(1_000);
    // Setting the clock right again afterwards is a step forward.
    expect(at(1_500, 0)).toBe(1_500 - 10_000);
    expect(steps).toEqual([-10_000, 10_000]);
  });

  test('does not seem to be set forward when an answer is slow', () => {
    const { at, steps } = database();
    at(0, 0);
    // The clock was read at an unknown moment of these 5 s: the earliest is assumed.
    expect(at(500, 0, 5_000)).toBe(500);
    expect(at(6_000, 0)).toBe(6_000);
    expect(steps).toEqual([]);
  });

  test('may drift', () => {
    const { at, steps } = database();
    for (let now = 0; now < 600_000; now += 500) at(now, now * 0.0005);
    expect(steps).toEqual([]);
  });
});
