import { mkdir, mkdtemp, readdir, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@fumehood/base';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type JanitorDeps, sweepWork, trimCaches } from './janitor.ts';

let root: string;
let deps: JanitorDeps;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'fumehood-janitor-'));
  const [work, disks, blobs] = ['work', 'disks', 'blobs'].map((name) => join(root, name)) as [
    string,
    string,
    string,
  ];
  for (const directory of [work, disks, blobs]) await mkdir(directory);
  deps = { clock: systemClock, caches: [disks, blobs], work, cacheBytes: 250_000 };
});
afterEach(async () => {
  await rm(root, { recursive: true });
});

async function put(path: string, bytes: number, minutesAgo: number): Promise<void> {
  await writeFile(join(root, path), Buffer.alloc(bytes, 1));
  await truncate(join(root, path), 1 << 30); // sparse, as disks are
  const used = Date.now() / 1000 - minutesAgo * 60;
  await utimes(join(root, path), used, used);
}

describe('the janitor', () => {
  it('removes working directories and unfinished files of a crashed agent, and keeps finished files', async () => {
    await mkdir(join(root, 'work', 'job-1-x', 'deep'), { recursive: true });
    await mkdir(join(root, 'disks', '.disk-abc'));
    await put('blobs/x.partial', 10, 0);
    await put('blobs/done', 10, 0);
    expect(await sweepWork(deps)).toBe(3);
    expect(await readdir(join(root, 'work'))).toEqual([]);
    expect(await readdir(join(root, 'disks'))).toEqual([]);
    expect(await readdir(join(root, 'blobs'))).toEqual(['done']);
  });

  it('removes the files that were not used for the longest time until the caches are below their limit', async () => {
    await put('disks/old', 100_000, 60);
    await put('blobs/older', 100_000, 120);
    await put('disks/oldest', 100_000, 180);
    await put('disks/new', 100_000, 0);
    expect(await trimCaches(deps)).toBeGreaterThanOrEqual(2);
    expect(await readdir(join(root, 'disks'))).toEqual(['new', 'old']);
    expect(await readdir(join(root, 'blobs'))).toEqual([]);
  });

  it('keeps files that were used a short time ago', async () => {
    await put('disks/a', 200_000, 1);
    await put('disks/b', 200_000, 2);
    expect(await trimCaches(deps)).toBe(0);
  });
});
