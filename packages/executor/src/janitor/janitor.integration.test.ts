import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { localSpawn, type Spawn, sharedDirectory } from '@fumehood/base';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type JanitorDeps, sweepWork } from './janitor.ts';

let root: string;
let deps: JanitorDeps;
let warnings: object[];

const isRoot = process.getuid?.() === 0;
/** The agent, and the programs that it has run under the profile. Their group is the agent's. */
const agent = { uid: 1_900_000_101, gid: 1_900_000_101 };
const profile = localSpawn(isRoot ? { uid: 1_900_000_102, gid: agent.gid } : null);

/** Runs something as this user, without the rights of root. */
async function as<T>({ uid, gid }: { uid: number; gid: number }, body: () => Promise<T>): Promise<T> {
  const before = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
  process.seteuid?.(0);
  process.setegid?.(gid);
  process.seteuid?.(uid);
  try {
    return await body();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(before.gid);
    process.seteuid?.(before.uid);
  }
}
/** Starts programs as the helper does for the agent. */
const spawn: Spawn = (request) =>
  isRoot ? as({ uid: 0, gid: 0 }, () => profile(request)) : profile(request);

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'fumehood-janitor-'));
  const [work, disks, blobs] = ['work', 'disks', 'blobs'].map((name) => join(root, name)) as [
    string,
    string,
    string,
  ];
  for (const directory of [work, disks, blobs]) await mkdir(directory);
  warnings = [];
  const log = { warn: (facts: object) => void warnings.push(facts) };
  deps = { spawn, log, caches: [disks, blobs], work };
});
afterEach(async () => {
  await rm(root, { recursive: true });
});

describe('the janitor', () => {
  it('removes working directories and unfinished files of a crashed agent, and keeps finished files', async () => {
    await mkdir(join(root, 'work', 'job-1-x', 'deep'), { recursive: true });
    await mkdir(join(root, 'disks', '.disk-abc'));
    for (const name of ['blobs/x.partial', 'blobs/done']) await writeFile(join(root, name), 'x');
    expect(await sweepWork(deps)).toBe(3);
    expect(await readdir(join(root, 'work'))).toEqual([]);
    expect(await readdir(join(root, 'disks'))).toEqual([]);
    expect(await readdir(join(root, 'blobs'))).toEqual(['done']);
  });
});

describe.skipIf(!isRoot)('after a program was taken over', () => {
  /** What the program leaves in the directory that it shares with the agent. */
  const attacks = {
    'a directory that only its owner may enter':
      'mkdir -m 700 private; mkdir private/in; : > private/in/file',
    'a directory that nobody may enter': 'mkdir closed; : > closed/file; chmod 0 closed',
    'a name that is no UTF-8':
      ': > "$(printf "x\\377y")"; mkdir "$(printf "d\\377")"; : > "$(printf "d\\377")/file"',
    'a path that is too long for one system call':
      'name=$(printf "%0200d" 0); for one in $(seq 40); do mkdir $name; cd $name; done; : > file',
    'links to files and directories of the host': 'ln -s "$0" file; ln -s / root; ln -s .. up',
  };
  let secret: string;

  beforeEach(async () => {
    await chmod(root, 0o711);
    secret = join(root, 'secret');
    await writeFile(secret, 'secret');
    for (const directory of [deps.work, ...deps.caches]) {
      await chmod(directory, 0o711);
      await chown(directory, agent.uid, agent.gid);
    }
  });

  /** Makes a job's directory as the agent does, and lets a program attack it. */
  async function leave(script: string): Promise<void> {
    const shared = join(deps.work, 'job-1', 'git');
    await as(agent, async () => {
      await mkdir(join(deps.work, 'job-1'), { mode: 0o711 });
      await sharedDirectory(shared);
    });
    const binds = [{ source: shared, target: '/out', mode: 'rw' as const }];
    const args = ['-c', script, secret];
    const program = await profile({ label: 'attack', program: '/bin/sh', args, binds, cwd: '/out' });
    program.stdin.end();
    program.stderr.resume();
    expect((await program.exited).code).toBe(0);
  }

  it.each(Object.entries(attacks))('the janitor removes %s', async (_what, script) => {
    await leave(script);
    expect(await as(agent, () => sweepWork(deps))).toBe(1);
    expect(await readdir(deps.work)).toEqual([]);
    expect(warnings).toEqual([]);
    expect(await readFile(secret, 'utf8')).toBe('secret');
  });

  it('the agent alone could not remove most of it', async () => {
    const refused: string[] = [];
    for (const [what, script] of Object.entries(attacks)) {
      await leave(script);
      const remove = () => rm(join(deps.work, 'job-1'), { recursive: true, force: true });
      await as(agent, remove).catch(() => refused.push(what));
      await as(agent, () => sweepWork(deps));
    }
    expect(refused).toEqual([
      'a directory that only its owner may enter',
      'a directory that nobody may enter',
      'a path that is too long for one system call',
    ]);
  });

  it('the janitor goes on when something cannot be removed, and says so', async () => {
    await mkdir(join(deps.work, 'of-root'), { mode: 0o700 });
    await writeFile(join(deps.work, 'of-root', 'file'), '');
    await leave(attacks['a directory that only its owner may enter']);
    expect(await as(agent, () => sweepWork(deps))).toBe(1);
    expect(await readdir(deps.work)).toEqual(['of-root']);
    expect(warnings).toEqual([{ path: join(deps.work, 'of-root') }]);
  });
});
