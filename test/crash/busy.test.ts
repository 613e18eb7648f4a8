import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Stack } from '../stack.ts';
import { upWithImage } from './up.ts';

/** Four leases. */
const busyMs = 40_000;

let stack: Stack;
let image: string;

beforeAll(async () => {
  stack = await Stack.make();
  image = await upWithImage(stack);
});
afterAll(() => stack.stop());

test('with every core at 100 % no lease is lost: two busy processes a core beside instance, executor and a job that is busy too', {
  timeout: 240_000,
}, async () => {
  const { id } = await stack.client().createJob({
    queue: 'runs',
    image,
    argv: [
      'sh',
      '-c',
      'echo begun; while :; do echo tick; n=0; while [ $n -lt 1000 ]; do n=$((n+1)); done; done',
    ],
    accept: ['vm-hardware', 'vm-emulated'],
    memoryMiB: 192,
    scratchMiB: 64,
  });
  for await (const event of stack.client().events(id)) if (event.type === 'output') break;
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
  for await (const event of stack.client().events(id)) void event; // until it has ended
  expect(await stack.client().attempts(id)).toMatchObject([{ attempt: 1, outcome: 'canceled' }]);
  await expect.poll(() => stack.jobFiles(), { timeout: 15_000 }).toEqual([]);
});
