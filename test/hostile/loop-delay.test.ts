import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { localSpawn, openFileCache, systemClock } from '@fumehood/base';
import { imageDisk } from '@fumehood/oci';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loopDelayMax } from '../../packages/executor/src/agent/loop-delay.ts';
import { type DiskMaker, diskMakerOf } from '../../packages/executor/src/disk-maker/make-disk.ts';
import { insidePaths } from '../../packages/executor/src/disk-maker/messages.ts';
import { bundledDiskMaker } from '../../packages/executor/src/testing/disk-maker.ts';
import { FakeInstance } from '../../packages/executor/src/testing/fake-instance.ts';
import { hostileImage } from '../../packages/executor/src/testing/hostile-image.ts';
import { testJob } from '../../packages/executor/src/testing/test-job.ts';
import { openHttp } from '../../packages/executor/src/uplink/http.ts';
import { openJobClient } from '../../packages/executor/src/uplink/job-client.ts';
import { workspaceDisk } from '../../packages/executor/src/workspace/workspace-disk.ts';
import { checkFilePaths } from '../../packages/executor/src/workspace/workspace-file.ts';
import { long } from '../long.ts';

/** The agent renews leases on the event loop of its process, which is that of these tests. */
const identity = process.getuid?.() === 0 ? { uid: 1_900_000_002, gid: process.getgid?.() ?? 0 } : null;
const spawn = localSpawn(identity);
const never = new AbortController().signal;
const cache = openFileCache({ directories: [], maxBytes: 0, onTrouble() {} }).open();
const memoryMiB = 256;

let root: string;
let instance: FakeInstance;
let maker: DiskMaker;
let archive: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fumehood-loop-'));
  await chmod(root, 0o711);
  for (const name of ['work', 'programs', 'repositories']) mkdirSync(join(root, name), { mode: 0o711 });
  instance = new FakeInstance();
  instance.repositories = join(root, 'repositories');
  await instance.start();
  maker = diskMakerOf({ spawn, ...(await bundledDiskMaker(join(root, 'programs'))) }, memoryMiB);
  archive = join(root, 'image.tar');
  await hostileImage(archive, long ? 60_000 : 20_000);
});
afterAll(async () => {
  await instance.stop();
  await rm(root, { recursive: true, force: true });
});

/** Returns a directory of its own for the disks of one try, so that none of them is cached. */
function emptyCache(): string {
  const directory = mkdtempSync(join(root, 'disks-'));
  chmodSync(directory, 0o711);
  return directory;
}

/** Resolves with the longest time, in ms, that the event loop stands still while `work` is done. */
async function longestDelay(work: () => Promise<unknown>): Promise<number> {
  const delays = monitorEventLoopDelay({ resolution: 10 });
  delays.enable();
  await systemClock.sleep(50); // the first measurement starts here
  await work();
  await systemClock.sleep(50); // a delay is measured after it has ended
  delays.disable();
  return delays.max / 1e6;
}

/** Makes a commit whose tree has `width` to the power of 3 files: four objects, which git sends as some kilobytes. */
function hostileCommit(name: string, width: number): string {
  const directory = join(instance.repositories, name);
  const git = (args: string[], input = '') =>
    execFileSync('git', ['-C', directory, '-c', 'user.name=t', '-c', 'user.email=t@t', ...args], {
      input,
      encoding: 'utf8',
    }).trim();
  mkdirSync(directory, { recursive: true });
  git(['init', '-q', '--bare']);
  const tree = (entry: string) =>
    git(['mktree'], Array.from({ length: width }, (_, at) => `${entry}\tname-${at}\n`).join(''));
  const blob = git(['hash-object', '-w', '--stdin'], 'x');
  const top = tree(`040000 tree ${tree(`040000 tree ${tree(`100644 blob ${blob}`)}`)}`);
  const commit = git(['commit-tree', top, '-m', 'x']);
  git(['update-ref', 'refs/heads/main', commit]);
  return commit;
}

/** On a busy machine, this process may have to wait for a processor. */
describe('the event loop that renews leases goes on', { retry: 2, timeout: 300_000 }, () => {
  test('while the disk of an image with a great many deep paths is made', async () => {
    const make = () =>
      imageDisk({ archive, digestOf: 'archive', digest: 'a' }, emptyCache(), cache, {
        signal: never,
        make: async (file) => {
          const bind = { source: archive, target: insidePaths.archive, mode: 'ro' as const };
          return (await maker.make({ type: 'image' }, [bind], file, never)).config;
        },
      });
    expect(await longestDelay(make)).toBeLessThan(loopDelayMax);
  });

  test('while the disk of a tree with a great many files is made', async () => {
    const name = 'acme/wide';
    const width = long ? 78 : 30;
    rmSync(join(instance.repositories, name), { recursive: true, force: true });
    const commit = hostileCommit(name, width);
    const job = testJob({ repositoryName: name });
    instance.leased.set(job.id, job);
    const client = openJobClient(
      openHttp(instance.url),
      { ...job, queue: 'runs' },
      'test',
      systemClock,
      never,
    );
    const source = {
      ...{ spawn, maker, clock: systemClock, instanceUrl: 'http://fake' },
      ...{ cache, disks: emptyCache(), work: join(root, 'work'), blobs: root },
    };
    const nothing = { directory: '', sparse: [], files: [], archive: null };
    const contents = { commit: { repository: name, commit }, ...nothing };
    const lines: string[] = [];
    const make = () => workspaceDisk(source, client, contents, never, (line) => void lines.push(line));
    expect(await longestDelay(make)).toBeLessThan(loopDelayMax);
    expect(lines.at(-1)).toMatch(new RegExp(`^${width ** 3} files`));
  });
});

test('the event loop stands still when the agent checks a tree itself, so the tests above can fail', async () => {
  const tree = Array.from({ length: 400_000 }, (_, at) => ({ path: `directory-${at % 700}/file-${at}` }));
  const extra = [{ path: 'extra', content: Buffer.alloc(0), mtime: 0 }];
  const check = () => Promise.resolve(checkFilePaths(extra, tree, ''));
  expect(await longestDelay(check)).toBeGreaterThan(loopDelayMax);
});
