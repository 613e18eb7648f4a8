import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import { long } from '../long.ts';
import { Stack } from '../stack.ts';
import {
  endlessScript,
  eventsOf,
  expectFirstAttemptFenced,
  expectNoJobFiles,
  shellJob,
  startWithImage,
  untilOutput,
  vmmOf,
} from './jobs.ts';
import { deathOf, isAlive, type Process, signal, treeOf } from './processes.ts';
import { secondExecutor } from './second-executor.ts';

/** How long the executor's processes are stopped, all but its VMs and their launchers: as if its host had stalled. */
const stallMs = long ? 60_000 : 20_000;

let stack: Stack;
let image: string;
let stopped: readonly Process[] = [];

function stall(processes: readonly Process[]): void {
  stopped = processes;
  for (const { pid } of processes) signal(pid, 'SIGSTOP');
}
function wake(processes: readonly Process[]): void {
  for (const { pid } of processes) signal(pid, 'SIGCONT');
}

beforeEach(async () => {
  stack = await Stack.make();
  image = await startWithImage(stack);
});
afterEach(async () => {
  wake(stopped);
  await stack.stop();
});

/** Starts a job that writes output until it is canceled. Returns it with the processes of its executor and its VMM. */
async function startEndlessJob(): Promise<{ id: number; processes: Process[]; vmm: Process }> {
  const { id } = await stack.client().createJob(shellJob(image, endlessScript));
  await untilOutput(stack, id);
  const processes = treeOf(stack.pid('executor')).filter(({ command }) =>
    /\/(executor-helper|agent)\.mjs/.test(command),
  );
  expect(processes).toHaveLength(2);
  return { id, processes, vmm: vmmOf(stack, id) };
}

describe('an executor that stalls for longer than its lease', () => {
  test('loses its VM before its job runs again, and is fenced off when it wakes up', {
    timeout: 180_000,
  }, async () => {
    const { id, processes, vmm } = await startEndlessJob();
    const second = secondExecutor(stack);
    const stalledAt = performance.now();
    stall(processes);
    const job = await second.takeOver({ id, vmm, lostAt: stalledAt });
    while (performance.now() < stalledAt + stallMs) {
      await second.expectLeaseKept(job);
      await sleep(2_000);
    }
    wake(processes);
    // The stalled executor now sends output of the first attempt, heartbeats and the end of the job.
    for (let n = 0; n < 3; n += 1) {
      await sleep(1_500);
      await second.expectLeaseKept(job);
    }
    expect(await second.complete(job)).toBe(204);
    expectFirstAttemptFenced(await eventsOf(stack, id));
    expect(await stack.client().attempts(id)).toMatchObject([
      { attempt: 1, outcome: 'lost', failure: { reason: 'lease_lost' } },
      { attempt: 2, outcome: 'completed', executor: 'second' },
    ]);
    await expectNoJobFiles(stack);
    // The executor that stalled runs jobs again.
    const archive = `docker-archive:${(await busyboxImage(stack.state, 'plain')).file}`;
    const run = await stack.fumehood(['run', '--accept', 'vm-emulated', archive, '--', 'echo', 'again']);
    expect(run).toMatchObject({ code: 0, stdout: 'again\n' });
  });

  test.runIf(long)(
    'keeps its VM when the launcher has no watchdog, so the test above can fail',
    {
      timeout: 120_000,
    },
    async () => {
      removeWatchdog();
      const { id, processes, vmm } = await startEndlessJob();
      stall(processes);
      await secondExecutor(stack).lease();
      expect(isAlive(vmm.pid)).toBe(true);
      await stack.client().cancel(id);
      wake(processes);
      await deathOf(vmm);
    },
  );
});

/** Replaces the launcher by one that ignores the timer of the lease. */
function removeWatchdog(): void {
  const source = readFileSync('packages/microvm/src/launcher/launcher.c', 'utf8');
  const watch = '} else if (wait[1].revents) reason = "lease", over = 1;';
  expect(source).toContain(watch);
  const directory = mkdtempSync(join(tmpdir(), 'launcher-'));
  const file = join(directory, 'launcher.c');
  writeFileSync(file, source.replace(watch, '}'));
  const [name = ''] = readdirSync(join(stack.state, 'runtime')).filter((entry) =>
    entry.startsWith('launcher-'),
  );
  const replacement = join(stack.state, 'runtime', `${name}.other`);
  execFileSync('gcc', ['-static', '-O2', '-o', replacement, file]);
  renameSync(replacement, join(stack.state, 'runtime', name));
  rmSync(directory, { recursive: true });
}
