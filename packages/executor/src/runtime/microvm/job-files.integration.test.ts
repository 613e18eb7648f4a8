import { execFileSync } from 'node:child_process';
import { chmod, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { localSpawn, systemClock } from '@glovebox/base';
import { writeDisk } from '@glovebox/disk';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FakeUpstream } from '../../testing/fake-upstream.ts';
import { openHttp } from '../../uplink/http.ts';
import { openJob } from '../../uplink/job.ts';
import { filesTar } from './job-files.ts';
import type { RunnableJob } from './plan.ts';

const isRoot = process.getuid?.() === 0;
const spawn = localSpawn(isRoot ? { uid: 1_900_000_003, gid: process.getgid?.() ?? 0 } : null);
const noTime = '0001-01-01T00:00:00Z';
const written = (text: string, modifiedAt = noTime) => ({
  ...{ content: new TextEncoder().encode(text), bucket: '', key: '', modifiedAt },
});
const mounted = {
  content: null,
  bucket: 'batch-changes',
  key: 'spec/one',
  modifiedAt: '2024-02-03T04:05:06Z',
};
const place = '/.executors/files/batch-changes/spec/one';

let upstream: FakeUpstream;
let root: string;
beforeEach(async () => {
  upstream = await FakeUpstream.start();
  root = await mkdtemp(join(tmpdir(), 'glovebox-files-'));
  await chmod(root, 0o711); // the programs' uid must come through
});
afterEach(async () => {
  await upstream.stop();
  await rm(root, { recursive: true });
});

/** What is on the disk of these files. */
async function onDisk(files: RunnableJob['files'], secrets: string[] = []): Promise<string> {
  const job = { id: 42, token: 'sometoken', queue: 'batches' as const, redactedValues: null };
  const { signal } = new AbortController();
  const client = openJob(openHttp(upstream.url), job, 'deadbeef', systemClock, signal);
  const tar = filesTar({ files, secrets }, client, systemClock);
  await writeDisk(spawn, tar.bytes, join(root, 'disk'), () => ({ entries: tar.entries() }));
  execFileSync('unsquashfs', ['-q', '-n', '-d', join(root, 'out'), join(root, 'disk')]);
  return join(root, 'out');
}

it('E14, L10: what a job brings is on a disk, written or fetched with its token, as old as it says', async () => {
  const bytes = Buffer.from([0, 255, 10, 13]);
  upstream.answer(`GET ${place}`, { status: 200, body: bytes });
  const out = await onDisk({ 'a/b/c': written('hello'), 'a/d': mounted, e: written('') });
  expect(await readFile(join(out, 'a/b/c'), 'utf8')).toBe('hello');
  expect(await readFile(join(out, 'a/d'))).toEqual(bytes);
  expect((await stat(join(out, 'a/d'))).mtime.toISOString()).toBe('2024-02-03T04:05:06.000Z');
  expect((await stat(join(out, 'a/b'))).mode & 0o777).toBe(0o777);
  expect((await readdir(out)).toSorted()).toEqual(['a', 'e']);
  expect(upstream.received).toHaveLength(1);
  expect(upstream.received[0]?.headers).toMatchObject({
    ...{ authorization: 'Bearer sometoken', 'x-sourcegraph-job-id': '42' },
  });
});

it.each([
  [404, 'file_not_found'],
  [403, 'instance_refused'],
  [500, 'instance_unreachable'],
])('E14, L10: a file that is answered with %d is an error, and leaves no disk', async (status, code) => {
  upstream.answer(`GET ${place}`, { status });
  await expect(onDisk({ a: mounted })).rejects.toMatchObject({ code });
  expect(await readdir(root)).toEqual([]);
});

it('A fetched file that holds a credential is refused', async () => {
  upstream.answer(`GET ${place}`, { status: 200, body: 'x hunter22 x' });
  await expect(onDisk({ a: mounted }, ['hunter22'])).rejects.toMatchObject({ code: 'upload_step_refused' });
});

it('A file of more than 64 MiB is refused, however it comes', async () => {
  const big = Buffer.alloc(64 * 2 ** 20 + 1);
  upstream.answer(`GET ${place}`, { status: 200, body: big });
  await expect(onDisk({ a: mounted })).rejects.toMatchObject({ code: 'job_refused' });
  const content = new Uint8Array(big);
  await expect(onDisk({ a: { ...written(''), content } })).rejects.toMatchObject({ code: 'job_refused' });
}, 60_000);
