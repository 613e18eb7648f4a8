import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { localSpawn, openFileCache, type Spawn, systemClock } from '@fumehood/base';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { diskMakerOf } from '../disk-maker/make-disk.ts';
import { bundledDiskMaker } from '../testing/disk-maker.ts';
import { FakeInstance } from '../testing/fake-instance.ts';
import { testJob } from '../testing/test-job.ts';
import { openHttp } from '../uplink/http.ts';
import { openJobClient } from '../uplink/job-client.ts';
import { workspaceDisk } from './workspace-disk.ts';

const identity = process.getuid?.() === 0 ? { uid: 1_900_000_002, gid: process.getgid?.() ?? 0 } : null;
const profile = localSpawn(identity);
const { signal } = new AbortController();
const job = testJob({ repositoryName: 'acme/plain' });
const secret = 'the credential of the executor';

let root: string;
let instance: FakeInstance;
let commit: string;
let maker: { node: string; script: string };

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fumehood-taken-over-'));
  await chmod(root, 0o711);
  for (const name of ['disks', 'work', 'programs', 'repositories/acme/plain'])
    await mkdir(join(root, name), { recursive: true, mode: 0o711 });
  await writeFile(join(root, 'credential'), secret, { mode: 0o600 });
  const env = { PATH: process.env.PATH, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' };
  const git = (...args: string[]) =>
    execFileSync('git', ['-C', join(root, 'repositories/acme/plain'), ...args], {
      env,
      encoding: 'utf8',
    }).trim();
  git('init', '-q', '--bare');
  const tree = git('hash-object', '-t', 'tree', '-w', '/dev/null');
  const author = ['-c', 'user.name=t', '-c', 'user.email=t@t'];
  commit = git(...author, 'commit-tree', '-m', 'first', tree);
  git('update-ref', 'refs/heads/main', commit);
  maker = await bundledDiskMaker(join(root, 'programs'));
  instance = new FakeInstance();
  instance.repositories = join(root, 'repositories');
  await instance.start();
  instance.leased.set(job.id, job);
});
afterAll(async () => {
  await instance.stop();
  await rm(root, { recursive: true, force: true });
});

function make(spawn: Spawn): Promise<string> {
  const client = openJobClient(
    openHttp(instance.url),
    { ...job, queue: 'runs' },
    'test',
    systemClock,
    signal,
  );
  const directories = { disks: join(root, 'disks'), work: join(root, 'work'), blobs: root };
  const source = {
    spawn,
    maker: diskMakerOf({ spawn, ...maker }, 1024),
    clock: systemClock,
    cache: openFileCache({ directories: [], maxBytes: 0, onTrouble() {} }).open(),
    instanceUrl: 'http://fake',
    ...directories,
  };
  const nothing = { directory: '', sparse: [], files: [], archive: null };
  const contents = { commit: { repository: 'acme/plain', commit }, ...nothing };
  return workspaceDisk(source, client, contents, signal, () => {});
}

describe('a git that was taken over by the objects of a commit', () => {
  it('gets no file of the executor onto a disk by a link in place of its pack, and leaves nothing', async () => {
    const attack = `/usr/bin/git "$@" && cd /repository/objects/pack && ln -sf ${root}/credential "$(ls | grep 'pack$')"`;
    const takenOver: Spawn = (request) =>
      profile(
        request.label === 'git index-pack'
          ? { ...request, program: '/bin/sh', args: ['-c', attack, 'sh', ...request.args] }
          : request,
      );
    await expect(make(takenOver)).rejects.toMatchObject({ code: 'output_refused' });
    expect(await readdir(join(root, 'disks'))).toEqual([]);
    expect(await readdir(join(root, 'work'))).toEqual([]);
    const disk = await make(profile); // the same commit, by a git that was not taken over
    expect(await readdir(join(root, 'disks'))).toEqual([disk]);
  });
});
