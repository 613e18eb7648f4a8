import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { JobEvent } from '@fumehood/protocol';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import { Stack } from '../stack.ts';
import { deathOf, isAlive, type Process, signal, treeOf } from './processes.ts';
import { secondExecutor } from './second-executor.ts';
import { upWithImage } from './up.ts';

/** Everything of an executor but its virtual machines and their launchers stands still, as if its host had stalled. */
const stallMs = Number(process.env.FUMEHOOD_STALL_MS ?? 20_000);

let stack: Stack;
let image: string;
let standing: readonly Process[] = [];

function stall(processes: readonly Process[]): void {
  standing = processes;
  for (const { pid } of processes) signal(pid, 'SIGSTOP');
}
function wake(processes: readonly Process[]): void {
  for (const { pid } of processes) signal(pid, 'SIGCONT');
}

beforeEach(async () => {
  stack = await Stack.make();
  image = await upWithImage(stack);
});
afterEach(async () => {
  wake(standing);
  await stack.stop();
});

/** A job that never stops to talk, with its processes. */
async function talkingJob(): Promise<{ id: number; stalled: Process[]; vmm: Process }> {
  const { id } = await stack.client().createJob({
    queue: 'runs',
    image,
    argv: ['sh', '-c', 'while :; do echo tick; sleep 0.1; done'],
    accept: ['vm-hardware', 'vm-emulated'],
    memoryMiB: 192,
    scratchMiB: 64,
  });
  for await (const event of stack.client().events(id)) if (event.type === 'output') break;
  const tree = treeOf(stack.pid('executor'));
  const vmm = tree.find(({ command }) => command.includes(`-name fumehood-j${id}-`));
  if (!vmm) throw new Error(`no virtual machine among ${JSON.stringify(tree)}`);
  const stalled = tree.filter(({ command }) => /\/(executor-helper|agent)\.mjs/.test(command));
  expect(stalled).toHaveLength(2);
  return { id, stalled, vmm };
}

describe('an executor that stands still', () => {
  test('has lost its VM before its job runs again, and wakes as a zombie whose words are refused', {
    timeout: 180_000,
  }, async () => {
    const { id, stalled, vmm } = await talkingJob();
    const second = secondExecutor(stack);
    const stalledAt = performance.now();
    for (const { pid } of stalled) signal(pid, 'SIGSTOP');
    const [died, next] = await Promise.all([deathOf(vmm), second.lease()]);
    expect(next.job).toMatchObject({ id, fumehood: { attempt: 2 } });
    expect(died, `the VM outlived its lease by ${died - next.at} ms`).toBeLessThan(next.at);
    expect(next.at - stalledAt, 'from the death of an executor to the next attempt').toBeLessThan(15_000);
    while (performance.now() < stalledAt + stallMs) {
      expect(await second.beat(next.job)).toEqual([`${id}-runs`]);
      await sleep(2_000);
    }
    for (const { pid } of stalled) signal(pid, 'SIGCONT');
    // Its log writer, its heartbeat and its end of the job all try now.
    for (let n = 0; n < 3; n += 1) {
      await sleep(1_500);
      expect(await second.beat(next.job)).toEqual([`${id}-runs`]);
    }
    expect(await second.complete(next.job)).toBe(204);
    const events: JobEvent[] = [];
    for await (const event of stack.client().events(id)) events.push(event);
    const secondAt = events.findIndex((event) => event.type === 'job' && event.job.attempt === 2);
    const ofFirst = events.slice(secondAt).filter((event) => event.type !== 'job');
    expect(ofFirst, 'what the first attempt wrote after the second one began').toEqual([]);
    expect(await stack.client().attempts(id)).toMatchObject([
      { attempt: 1, outcome: 'lost', failure: { reason: 'lease_lost' } },
      { attempt: 2, outcome: 'completed', executor: 'second' },
    ]);
    await expect.poll(() => stack.jobFiles(), { timeout: 15_000 }).toEqual([]);
    // And it is of use again.
    const archive = `docker-archive:${(await busyboxImage(stack.state, 'plain')).file}`;
    const run = await stack.fumehood(['run', '--accept', 'vm-emulated', archive, '--', 'echo', 'again']);
    expect(run).toMatchObject({ code: 0, stdout: 'again\n' });
  });

  test('is found out by this test when its VMs have no watchdog', { timeout: 120_000 }, async () => {
    takeWatchdogOut();
    const { id, stalled, vmm } = await talkingJob();
    stall(stalled);
    await secondExecutor(stack).lease();
    expect(isAlive(vmm.pid)).toBe(true);
    await stack.client().cancel(id);
    wake(stalled);
    await deathOf(vmm);
  });
});

/** Puts a launcher in place of the one that is there which does not look at its timer. */
function takeWatchdogOut(): void {
  const source = readFileSync('packages/microvm/src/launcher/launcher.c', 'utf8');
  const watch = '} else if (wait[1].revents) reason = "lease", over = 1;';
  expect(source).toContain(watch);
  const directory = mkdtempSync(join(tmpdir(), 'launcher-'));
  const file = join(directory, 'launcher.c');
  writeFileSync(file, source.replace(watch, '}'));
  const [name = ''] = readdirSync(join(stack.state, 'runtime')).filter((entry) =>
    entry.startsWith('launcher-'),
  );
  const aside = join(stack.state, 'runtime', `${name}.other`);
  execFileSync('gcc', ['-static', '-O2', '-o', aside, file]);
  renameSync(aside, join(stack.state, 'runtime', name));
  rmSync(directory, { recursive: true });
}
