import type { Clock } from '@fumehood/base';

/** A clock that only `advance` moves. Sleepers wake in the order of their times. */
export interface FakeClock extends Clock {
  advance(ms: number): Promise<void>;
}

export function fakeClock(): FakeClock {
  let time = 1_000_000;
  let sleepers: { at: number; wake(): void }[] = [];
  /** Runs everything that is ready, with all promises that follow from it. */
  const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
  return {
    now: () => time,
    bootTime: () => time,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason as Error);
        const sleeper = { at: time + ms, wake: resolve };
        sleepers.push(sleeper);
        signal?.addEventListener('abort', () => {
          sleepers = sleepers.filter((other) => other !== sleeper);
          reject(signal.reason as Error);
        });
      }),
    async advance(ms) {
      const end = time + ms;
      for (;;) {
        await settle();
        const next = sleepers.sort((a, b) => a.at - b.at)[0];
        if (!next || next.at > end) break;
        sleepers = sleepers.slice(1);
        time = next.at;
        next.wake();
      }
      time = end;
      await settle();
    },
  };
}
