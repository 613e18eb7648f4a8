import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Stack } from '../stack.ts';
import {
  endlessScript,
  eventsOf,
  expectNoJobFiles,
  shellJob,
  startWithImage,
  untilOutput,
  vmmOf,
} from './jobs.ts';
import { deathOf } from './processes.ts';

/**
 * How many jobs are canceled. The goal is that a canceled job's VM is gone in less than a second: the test prints the times and
 * does not assert them, because machines differ.
 */
const cancels = Number(process.env.FUMEHOOD_CANCELS ?? 3);

let stack: Stack;
let image: string;

beforeAll(async () => {
  stack = await Stack.make();
  image = await startWithImage(stack);
});
afterAll(() => stack.stop());

test('canceling a job ends its virtual machine and the job', {
  timeout: cancels * 30_000,
}, async () => {
  const took: number[] = [];
  for (let n = 0; n < cancels; n += 1) {
    const { id } = await stack.client().createJob({ ...shellJob(image, endlessScript), stopGraceMs: 0 });
    await untilOutput(stack, id);
    await sleep((n * 2_000) / cancels); // the cancels spread over the time between two heartbeats
    const vmm = vmmOf(stack, id);
    const canceledAt = performance.now();
    const [died] = await Promise.all([deathOf(vmm), stack.client().cancel(id)]);
    took.push(died - canceledAt);
    await eventsOf(stack, id);
    expect(await stack.client().attempts(id)).toMatchObject([{ attempt: 1, outcome: 'canceled' }]);
  }
  took.sort((a, b) => a - b);
  const percentile = (share: number) => Math.round(took[Math.ceil(took.length * share) - 1] ?? 0);
  console.log(
    JSON.stringify({ cancels, p50Ms: percentile(0.5), p99Ms: percentile(0.99), mostMs: percentile(1) }),
  );
  await expectNoJobFiles(stack);
});
