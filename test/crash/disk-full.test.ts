import { execFileSync } from 'node:child_process';
import { hash, randomBytes } from 'node:crypto';
import { closeSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { FumehoodError } from '@fumehood/base';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Stack } from '../stack.ts';
import {
  countingOutput,
  countingScript,
  expectNoJobFiles,
  followJob,
  shellJob,
  startWithImage,
  textOf,
  untilOutput,
} from './jobs.ts';
import { isAlive } from './processes.ts';
import { retry } from './retry.ts';

/** The size of the one disk that holds the database, blobs, logs, caches and scratch disks. */
const diskMiB = 1_200;
/** How long the disk stays full. */
const fullMs = 15_000;
const lines = 100;
const output = countingOutput(lines);

let stack: Stack;
let image: string;

beforeEach(async () => {
  stack = await Stack.make();
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${diskMiB}m,mode=755`, 'tmpfs', stack.state]);
  image = await startWithImage(stack);
});
afterEach(async () => {
  freeDisk();
  await stack.fumehood(['down']);
  execFileSync('umount', ['--lazy', stack.state]);
  await stack.stop();
});

const filler = () => join(stack.state, 'filler');
/** Fills the disk to the last byte. */
function fillDisk(): void {
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
function freeDisk(): void {
  rmSync(filler(), { force: true });
}

async function startJob(more: { env?: string[]; accept?: ['vm-hardware'] } = {}) {
  const { id } = await stack.client().createJob({
    ...shellJob(image, countingScript(lines)),
    ...{ maxResets: 20, maxRetries: 20, retryPauseMs: 100, ...more },
  });
  return id;
}

/** How often a request is tried while the disk is full: for a minute. */
const tries = 240;

test('while the disk is full, acknowledged writes survive and refusals give the reason; everything continues when there is room', {
  timeout: 300_000,
}, async () => {
  const roots = [stack.pid('instance'), stack.pid('executor')];
  const running = await startJob();
  const following = followJob(stack, running);
  await untilOutput(stack, running);
  fillDisk();
  const accepted: number[] = [];
  const refusals = new Set<string>();
  const endAt = performance.now() + fullMs;
  // Each job adds a row that is too big for the free space in the database's files.
  const bigEnvironment = () => [`TEXT=${randomBytes(30_000).toString('base64')}`];
  while (performance.now() < endAt) {
    try {
      accepted.push(await startJob({ env: bigEnvironment(), accept: ['vm-hardware'] }));
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
  const put = retry(() => stack.client().putBlob(digest, Readable.from(blob), blob.length), tries);
  expect(refusals.size).toBeGreaterThan(0);
  await sleep(1_000);
  freeDisk();
  await put;
  const { job, events } = await following;
  expect(job).toMatchObject({ state: 'completed', exitCode: 0 });
  expect(textOf(events, job.attempt)).toBe(output);
  for (let attempt = 1; attempt < job.attempt; attempt += 1)
    expect(output.startsWith(textOf(events, attempt))).toBe(true);
  for (const id of accepted)
    expect(await retry(() => stack.client().job(id), tries)).toMatchObject({ id, state: 'queued' });
  const after = await followJob(stack, await retry(() => startJob(), tries));
  expect(after.job).toMatchObject({ state: 'completed', attempt: 1 });
  expect(textOf(after.events, 1)).toBe(output);
  // Instance and executor were not restarted.
  expect([stack.pid('instance'), stack.pid('executor')]).toEqual(roots);
  expect(roots.map(isAlive)).toEqual([true, true]);
  for (const id of accepted) await stack.client().cancel(id);
  await expectNoJobFiles(stack);
});

test('a job fails with `disk_full` when its executor has no room for a scratch disk, and is retried until there is room', {
  timeout: 300_000,
}, async () => {
  const before = await followJob(stack, await startJob()); // the executor caches the image
  expect(before.job.state).toBe('completed');
  const { bavail, bsize } = statfsSync(stack.state);
  const leftBytes = 40 * 2 ** 20; // enough for everything but a scratch disk
  execFileSync('fallocate', ['--length', String(bavail * bsize - leftBytes), filler()]);
  const id = await startJob();
  const firstAttempt = async () => (await stack.client().attempts(id))[0];
  await expect.poll(firstAttempt, { timeout: 60_000 }).toMatchObject({ failure: { reason: 'disk_full' } });
  expect((await firstAttempt())?.failure?.message).toContain('the disk of the executor is full');
  // After three such failures the executor leases nothing, and says so.
  const listed = async () => (await stack.fumehood(['executors', 'list'])).stdout;
  await expect.poll(listed, { timeout: 30_000 }).toContain(' stopped ');
  const leasesNothing = /leases nothing, because jobs failed .*: the disk of the executor is full/;
  expect(await listed()).toMatch(leasesNothing);
  expect((await stack.fumehood(['doctor'])).stdout).toMatch(leasesNothing);
  freeDisk();
  const { job, events } = await followJob(stack, id);
  expect(job).toMatchObject({ state: 'completed', exitCode: 0 });
  expect(textOf(events, job.attempt)).toBe(output);
  expect(await listed()).toContain(' yes ');
  await expectNoJobFiles(stack);
});
