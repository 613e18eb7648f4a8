import { systemClock } from '@fumehood/base';
import { expect, test } from 'vitest';
import { makeHealth } from './health.ts';

/** Makes the health of a database whose answers take as long as the test says. */
function database() {
  let now = 0;
  const health = makeHealth({ ...systemClock, bootTime: () => now });
  const pass = (ms: number) => {
    now += ms;
  };
  return { health, pass, answer: (ms: number) => health.watch(async () => pass(ms)) };
}

test('a database that answers is settled', async () => {
  const { health, answer } = database();
  for (let n = 0; n < 100; n += 1) await answer(100);
  expect(health.settled()).toBe(true);
});

test.each([
  ['did not answer', 25_000],
  ['was slow', 2_500],
])('one that %s is settled again only after 10 seconds', async (_, ms) => {
  const { health, pass, answer } = database();
  await answer(ms);
  expect(health.settled()).toBe(false);
  pass(10_000);
  expect(health.settled()).toBe(false);
  pass(1);
  expect(health.settled()).toBe(true);
});

test('one that refuses is not settled, and the caller gets the error', async () => {
  const { health } = database();
  await expect(health.watch(() => Promise.reject(new Error('refused')))).rejects.toThrow('refused');
  expect(health.settled()).toBe(false);
});
