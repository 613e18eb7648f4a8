import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Stack } from '../stack.ts';
import { eventsOf, expectNoJobFiles, shellJob, startWithImage, untilOutput } from './jobs.ts';

/** Four times the lease. */
const busyMs = 40_000;
const busyScript = 'echo begun; while :; do echo tick; n=0; while [ $n -lt 1000 ]; do n=$((n+1)); done; done';

let stack: Stack;
let image: string;

beforeAll(async () => {
  stack = await Stack.make();
  image = await startWithImage(stack);
});
afterAll(() => stack.stop());

test('a job keeps its lease while two other processes per core and the job itself use all CPU time', {
  timeout: 240_000,
}, async () => {
  const { id } = await stack.client().createJob(shellJob(image, busyScript));
  await untilOutput(stack, id);
  const busy = Array.from({ length: 2 * availableParallelism() }, () =>
    spawn('setpriv', ['--pdeathsig', 'KILL', 'sh', '-c', 'while :; do :; done'], { stdio: 'ignore' }),
  );
  try {
    await sleep(busyMs);
    expect(busy.map(({ exitCode, signalCode }) => exitCode ?? signalCode)).toEqual(busy.map(() => null));
    expect(await stack.client().job(id)).toMatchObject({ state: 'processing', attempt: 1 });
    expect(await stack.client().attempts(id)).toHaveLength(1);
  } finally {
    for (const child of busy) child.kill('SIGKILL');
  }
  await stack.client().cancel(id);
  await eventsOf(stack, id);
  expect(await stack.client().attempts(id)).toMatchObject([{ attempt: 1, outcome: 'canceled' }]);
  await expectNoJobFiles(stack);
});
