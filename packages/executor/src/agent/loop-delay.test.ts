import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { loopDelayMax, watchLoopDelay } from './loop-delay.ts';

test('an event loop that stands still is written into the log with the time, and one that does not is not', async () => {
  const warned: object[] = [];
  const end = watchLoopDelay({ warn: (facts) => void warned.push(facts) }, 50);
  await delay(120);
  expect(warned).toEqual([]);
  for (const until = performance.now() + 2 * loopDelayMax; performance.now() < until; );
  await expect.poll(() => warned.length).toBe(1);
  end();
  const [{ loopDelayMs }] = warned as [{ loopDelayMs: number }];
  expect(loopDelayMs).toBeGreaterThan(loopDelayMax);
});
