import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Stack } from '../stack.ts';
import { deathOf, treeOf } from './processes.ts';
import { upWithImage } from './up.ts';

/** The measure of the goal that a canceled job's VM is gone in less than a second: printed, because machines differ. */
const cancels = Number(process.env.FUMEHOOD_CANCELS ?? 3);

let stack: Stack;
let image: string;

beforeAll(async () => {
  stack = await Stack.make();
  image = await upWithImage(stack);
});
afterAll(() => stack.stop());

test('a cancel ends the virtual machine, and is the end of the job', {
  timeout: cancels * 30_000,
}, async () => {
  const took: number[] = [];
  for (let n = 0; n < cancels; n += 1) {
    const { id } = await stack.client().createJob({
      ...{ queue: 'runs', image, argv: ['sh', '-c', 'while :; do echo tick; sleep 0.1; done'] },
      ...{ accept: ['vm-hardware', 'vm-emulated'], memoryMiB: 192, scratchMiB: 64 },
    });
    for await (const event of stack.client().events(id)) if (event.type === 'output') break;
    await sleep((n * 2_000) / cancels); // anywhere between two heartbeats
    const vmm = treeOf(stack.pid('executor')).find(({ command }) =>
      command.includes(`-name fumehood-j${id}-`),
    );
    if (!vmm) throw new Error(`job ${id} has no virtual machine`);
    const at = performance.now();
    const [died] = await Promise.all([deathOf(vmm), stack.client().cancel(id)]);
    took.push(died - at);
    for await (const event of stack.client().events(id)) void event; // until it has ended
    expect(await stack.client().attempts(id)).toMatchObject([{ attempt: 1, outcome: 'canceled' }]);
  }
  took.sort((a, b) => a - b);
  const at = (share: number) => Math.round(took[Math.ceil(took.length * share) - 1] ?? 0);
  console.log(JSON.stringify({ cancels, p50Ms: at(0.5), p99Ms: at(0.99), mostMs: at(1) }));
  await expect.poll(() => stack.jobFiles(), { timeout: 15_000 }).toEqual([]);
});
