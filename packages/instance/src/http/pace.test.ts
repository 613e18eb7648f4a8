import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { watchPace } from './pace.ts';

const limits = { stallMs: 4_000, bytesPerSecond: 1_000 };
const second = 1_000;
let slow: number;
let ourTurn: boolean;

beforeEach(() => {
  vi.useFakeTimers();
  slow = 0;
  ourTurn = false;
});
afterEach(() => vi.useRealTimers());

const watch = (totalMs = Infinity) =>
  watchPace(
    limits,
    totalMs,
    () => ourTurn,
    () => (slow += 1),
  );

describe('a peer', () => {
  test('that moves nothing is slow after the longest stall, and is reported once', () => {
    watch();
    vi.advanceTimersByTime(4 * second);
    expect(slow).toBe(0);
    vi.advanceTimersByTime(100 * second);
    expect(slow).toBe(1);
  });

  test('that trickles never stalls, and is slow all the same', () => {
    const pace = watch();
    for (let moved = 0; moved < 60; moved += 1) {
      vi.advanceTimersByTime(second);
      pace.moved(100);
    }
    // It may fall behind by one stall: 4 s + 0.1 s for each second.
    expect(slow).toBe(1);
  });

  test('that keeps the least rate is not slow, however long it takes', () => {
    const pace = watch();
    for (let moved = 0; moved < 1_000; moved += 1) {
      pace.moved(1_000);
      vi.advanceTimersByTime(second);
    }
    expect(slow).toBe(0);
    pace.stop();
  });

  test('that sent much may not stall for longer', () => {
    const pace = watch();
    pace.moved(1_000_000_000);
    vi.advanceTimersByTime(5 * second);
    expect(slow).toBe(1);
  });

  test('is not slow while it waits for the instance', () => {
    const pace = watch();
    ourTurn = true;
    vi.advanceTimersByTime(1_000 * second);
    expect(slow).toBe(0);
    pace.stop();
  });

  test('is slow at the end of the whole time, at any rate', () => {
    const pace = watch(10 * second);
    for (let moved = 0; moved < 20; moved += 1) {
      pace.moved(1_000_000);
      vi.advanceTimersByTime(second);
    }
    expect(slow).toBe(1);
  });
});
