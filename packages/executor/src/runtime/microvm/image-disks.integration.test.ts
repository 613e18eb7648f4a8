import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type FileCache,
  isSharedFailure,
  localSpawn,
  openFileCache,
  type Spawn,
  systemClock,
} from '@fumehood/base';
import { type ImageDisk, openFetchMemory } from '@fumehood/oci';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { diskMakerOf } from '../../disk-maker/make-disk.ts';
import { bundledDiskMaker } from '../../testing/disk-maker.ts';
import { FakeInstance } from '../../testing/fake-instance.ts';
import { busyboxImage } from '../../testing/test-images.ts';
import { testJob } from '../../testing/test-job.ts';
import { openHttp } from '../../uplink/http.ts';
import { openJobClient } from '../../uplink/job-client.ts';
import { imageDisks } from './image-disks.ts';

const isRoot = process.getuid?.() === 0;
const profile = localSpawn(isRoot ? { uid: 1_900_000_002, gid: process.getgid?.() ?? 0 } : null);
const never = new AbortController().signal;

let root: string;
let directories: { disks: string; blobs: string; work: string };
let programs: { node: string; script: string };
let instance: FakeInstance;
let image: string;
let archive: Buffer;
let digest: string;
/** The programs that were started. */
let started: string[];
let cache: FileCache;
let lastId = 0;

const openCache = (maxBytes: number) =>
  openFileCache({
    directories: [directories.disks, directories.blobs],
    maxBytes,
    onTrouble: (facts) => expect(facts).toBeUndefined(),
  });

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fumehood-image-disks-'));
  await chmod(root, 0o711);
  const at = (name: string) => join(root, name);
  directories = { disks: at('disks'), blobs: at('blobs'), work: at('work') };
  mkdirSync(at('images'));
  programs = await bundledDiskMaker(root);
  const built = await busyboxImage(at('images'), 'plain');
  ({ digest } = built);
  archive = readFileSync(built.file);
  image = `blob:${digest}`;
  instance = new FakeInstance();
  await instance.start();
});
afterAll(async () => {
  await instance.stop();
  await rm(root, { recursive: true, force: true });
});
beforeEach(async () => {
  for (const directory of Object.values(directories)) {
    await rm(directory, { recursive: true, force: true });
    mkdirSync(directory);
    await chmod(directory, 0o711);
  }
  instance.blobs.set(digest, archive);
  instance.requests.length = 0;
  started = [];
  cache = openCache(2 ** 30);
});

/** A job whose one step runs in the image. */
function startJob(signal: AbortSignal = never, run: Spawn = profile) {
  const spawn: Spawn = (request) => {
    started.push(request.label);
    return run(request);
  };
  const job = testJob({ id: ++lastId, dockerSteps: [{ image }] });
  instance.leased.set(job.id, job);
  const client = openJobClient(openHttp(instance.url), { ...job, queue: 'runs' }, 'test', systemClock, never);
  const use = cache.open();
  const deps = {
    ...{
      spawn,
      clock: systemClock,
      cache: use,
      directories,
      registries: [],
      route: { proxy: null },
      registryAuthFile: null,
      imageMaxMiB: 16,
    },
    ...{ node: programs.node, fetchMemory: openFetchMemory(systemClock) },
  };
  const maker = diskMakerOf({ spawn, ...programs }, 256);
  const disks = imageDisks(deps, maker, client, { dockerSteps: [{ image }] }, signal, async () => {});
  return { id: job.id, disks: disks.then(([disk]) => disk as ImageDisk), end: () => use.close() };
}
const requests = (method: string) => instance.requests.filter((line) => line.startsWith(`${method} `)).length;
const kept = () => [directories.blobs, directories.disks].map((directory) => readdirSync(directory).length);

describe('jobs that need one image at the same time', () => {
  it('fetch it and make its disk once, and each asks with its own token; the next one finds both', async () => {
    const jobs = [startJob(), startJob(), startJob()];
    const files = (await Promise.all(jobs.map((job) => job.disks))).map(({ file }) => file);
    expect(new Set(files).size).toBe(1);
    expect([requests('HEAD'), requests('GET')]).toEqual([3, 1]);
    expect(started).toEqual(['the disk maker']);
    cache = openCache(2 ** 30); // as after a restart of the agent
    expect((await startJob().disks).file).toBe(files[0]);
    expect([requests('HEAD'), requests('GET')]).toEqual([4, 1]);
    expect(started).toEqual(['the disk maker']);
  });

  it('share the failure of the fetch, and the next job tries again', async () => {
    instance.blobs.set(digest, Buffer.from('other bytes'));
    const jobs = [startJob(), startJob(), startJob()];
    const errors = await Promise.all(jobs.map((job) => job.disks.catch((error: unknown) => error)));
    expect(requests('GET')).toBe(1);
    expect(errors.filter(isSharedFailure)).toHaveLength(2);
    for (const error of errors) expect(error).toMatchObject({ code: 'blob_damaged' });
    expect(kept()).toEqual([0, 0]);
    instance.blobs.set(digest, archive);
    await startJob().disks;
    expect(requests('GET')).toBe(2);
  });

  it('get it when the one that makes its disk is canceled', async () => {
    const jobs = [1, 2, 3].map(() => {
      const cancel = new AbortController();
      return startJob(cancel.signal, async (request) => {
        const running = await profile(request);
        if (started.length === 1) cancel.abort(new Error('the job was canceled'));
        return running;
      });
    });
    const ends = await Promise.allSettled(jobs.map((job) => job.disks));
    const errors = ends.flatMap((end) => (end.status === 'rejected' ? [String(end.reason)] : []));
    expect(errors).toEqual(['Error: the job was canceled']);
    expect(started.filter((label) => label === 'the disk maker')).toHaveLength(2);
    expect(readdirSync(directories.work)).toEqual([]);
  });
});

describe('the cache of images', () => {
  it('keeps what a running job uses, and is within its limit when the job has ended', async () => {
    cache = openCache(1);
    const job = startJob();
    const { file } = await job.disks;
    await cache.trim();
    expect(readdirSync(directories.disks)).toContain(file);
    expect(kept()).toEqual([1, 2]);
    job.end();
    await expect.poll(kept).toEqual([0, 0]);
    await startJob().disks;
    expect(requests('GET')).toBe(2);
  });
});
