import { execFileSync } from 'node:child_process';
import { hash, randomBytes } from 'node:crypto';
import { closeSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { FumehoodError } from '@fumehood/base';
import type { JobEvent, JobRecord } from '@fumehood/protocol';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Stack } from '../stack.ts';
import { textOf } from './output.ts';
import { isAlive } from './processes.ts';
import { upWithImage } from './up.ts';

/** Database, blobs, logs, caches and scratch disks are all on it, as on a machine with one disk. */
const diskMiB = 1_200;
/** For how long it is full. */
const fullMs = 15_000;
const lines = 100;
const counted = Array.from({ length: lines }, (_, n) => `${n}\n`).join('');
const counting = `n=0; while [ $n -lt ${lines} ]; do echo $n; n=$((n+1)); sleep 0.1; done`;

let stack: Stack;
let image: string;

beforeEach(async () => {
  stack = await Stack.make();
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${diskMiB}m,mode=755`, 'tmpfs', stack.state]);
  image = await upWithImage(stack);
});
afterEach(async () => {
  free();
  await stack.fumehood(['down']);
  execFileSync('umount', ['--lazy', stack.state]);
  await stack.stop();
});

const filler = () => join(stack.state, 'filler');
/** Takes every byte that is left. */
function fill(): void {
  const file = openSync(filler(), 'a');
  for (const bytes of [2 ** 24, 2 ** 16, 2 ** 12]) {
    const block = Buffer.alloc(bytes, 1);
    try {
      for (;;) if (writeSync(file, block) < bytes) break;
    } catch (error) {
      expect(error).toMatchObject({ code: 'ENOSPC' });
    }
  }
  closeSync(file);
}
function free(): void {
  rmSync(filler(), { force: true });
}

async function startJob(more: { env?: string[]; accept?: ['vm-hardware'] } = {}) {
  const { id } = await stack.client().createJob({
    ...{ queue: 'runs', image, argv: ['sh', '-c', counting], accept: ['vm-hardware', 'vm-emulated'] },
    ...{ memoryMiB: 192, scratchMiB: 64, maxResets: 20, maxRetries: 20, retryPauseMs: 100, ...more },
  });
  return id;
}

/** All that is told of a job until it has ended, over every interruption. */
async function follow(id: number): Promise<{ job: JobRecord; events: JobEvent[] }> {
  const events: JobEvent[] = [];
  for await (const event of stack.client().events(id)) events.push(event);
  return { job: await stack.client().job(id), events };
}

async function insist<T>(ask: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await ask();
    } catch (error) {
      if (tries > 240) throw error;
      await sleep(250);
    }
  }
}

test('a full disk: what was acknowledged is kept, what is refused is told why, and all goes on when there is room', {
  timeout: 300_000,
}, async () => {
  const roots = [stack.pid('instance'), stack.pid('executor')];
  const running = await startJob();
  const following = follow(running);
  for await (const event of stack.client().events(running)) if (event.type === 'output') break;
  fill();
  const kept: number[] = [];
  const refusals = new Set<string>();
  const endAt = performance.now() + fullMs;
  // Each is a row and its log in the database, and too big to find room in what is there already.
  const text = () => [`TEXT=${randomBytes(30_000).toString('base64')}`];
  while (performance.now() < endAt) {
    try {
      kept.push(await startJob({ env: text(), accept: ['vm-hardware'] }));
    } catch (error) {
      expect(error).toBeInstanceOf(FumehoodError);
      const { code, remedy } = error as FumehoodError;
      refusals.add(code);
      expect(remedy, code).toBeTruthy();
      await sleep(100);
    }
  }
  const blob = randomBytes(2 ** 20);
  const digest = `sha256:${hash('sha256', blob)}`;
  const put = insist(() => stack.client().putBlob(digest, Readable.from(blob), blob.length));

  expect(refusals.size).toBeGreaterThan(0);
  await sleep(1_000);
  free();
  await put;
  const { job, events } = await following;
  expect(job).toMatchObject({ state: 'completed', exitCode: 0 });
  expect(textOf(events, job.attempt)).toBe(counted);
  for (let attempt = 1; attempt < job.attempt; attempt += 1)
    expect(counted.startsWith(textOf(events, attempt))).toBe(true);
  for (const id of kept)
    expect(await insist(() => stack.client().job(id))).toMatchObject({ id, state: 'queued' });
  const after = await follow(await insist(() => startJob()));
  expect(after.job).toMatchObject({ state: 'completed', attempt: 1 });
  expect(textOf(after.events, 1)).toBe(counted);
  // Nobody had to start anything again.
  expect([stack.pid('instance'), stack.pid('executor')]).toEqual(roots);
  expect(roots.map(isAlive)).toEqual([true, true]);
  for (const id of kept) await stack.client().cancel(id);
  await expect.poll(() => stack.jobFiles(), { timeout: 15_000 }).toEqual([]);
});

test('an executor without room for a scratch disk says so, and runs the job when there is', {
  timeout: 300_000,
}, async () => {
  const before = await follow(await startJob()); // its image is there from now on
  expect(before.job.state).toBe('completed');
  const { bavail, bsize } = statfsSync(stack.state);
  const leftBytes = 40 * 2 ** 20; // enough for everything but a scratch disk
  execFileSync('fallocate', ['--length', String(bavail * bsize - leftBytes), filler()]);
  const id = await startJob();
  const first = async () => (await stack.client().attempts(id))[0];
  await expect.poll(first, { timeout: 60_000 }).toMatchObject({ failure: { reason: 'disk_full' } });
  expect((await first())?.failure?.message).toContain('the disk of the executor is full');
  free();
  const { job, events } = await follow(id);
  expect(job).toMatchObject({ state: 'completed', exitCode: 0 });
  expect(textOf(events, job.attempt)).toBe(counted);
  await expect.poll(() => stack.jobFiles(), { timeout: 15_000 }).toEqual([]);
});
