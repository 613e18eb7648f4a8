import { randomUUID } from 'node:crypto';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  type AllowedCommand,
  FumehoodError,
  removeTree,
  runToEnd,
  type Spawn,
  sharedDirectory,
} from '@fumehood/base';
import { diffTooBig } from '../diff/errors.ts';
import { readDiff } from '../diff/read.ts';
import type { Mirror } from '../mirror.ts';
import { gitEnvironment } from '../repository.ts';
import { checkChange } from './check.ts';
import { diffConflict } from './errors.ts';

/** A commit that is to be made: a change of one commit, without a directory of files. */
export interface CommitChange {
  /** The commit that the diff is for. */
  readonly base: string;
  /** As `readDiff` takes it. */
  readonly diff: Uint8Array;
  readonly authorName: string;
  readonly authorEmail: string;
  /** Seconds since 1970. The same change at the same time is the same commit. */
  readonly at: number;
  readonly message: string;
  /** Commits of the mirror that the remote has; without them, it has the base. */
  readonly known?: readonly string[];
}

/** A commit, and the objects that whoever has its parent, or the commits that are known, lacks. */
export interface BuiltCommit {
  readonly commit: string;
  readonly pack: Buffer<ArrayBuffer>;
}

/** Bytes of the largest pack of one commit. */
const commitPackMax = 256 * 2 ** 20;

const program = '/usr/bin/git';
const onRepository = ['--git-dir', '/repository'];
const environment = {
  ...gitEnvironment,
  GIT_ALTERNATE_OBJECT_DIRECTORIES: '/mirror/objects',
  GIT_INDEX_FILE: '/index/index',
};
const object = /[0-9a-f]{40}/;
const readTree = ['read-tree'];
const apply = ['apply', '--cached', '-p0', '--whitespace=nowarn', '-'];
const writeTree = ['write-tree'];
const diffTree = ['diff-tree', '-r', '-z', '--no-renames'];
const hashCommit = ['hash-object', '-t', 'commit', '-w', '--stdin'];
const packCommit = ['pack-objects', '--revs', '--thin', '--stdout', '--quiet'];

/** Returns what a helper has to allow for `buildCommit` with mirrors and directories of its own below `directory`. */
export function commitCommands(directory: string): AllowedCommand[] {
  const uses = [
    [...readTree, object],
    apply,
    writeTree,
    [...diffTree, object, object],
    hashCommit,
    packCommit,
  ];
  return uses.map((args) => ({
    ...{ program, env: environment, args: [...onRepository, ...args] },
    binds: [
      { target: '/repository', mode: 'ro', from: directory },
      { target: '/repository/objects', mode: 'rw', from: directory },
      { target: '/index', mode: 'rw', from: directory },
      { target: '/mirror', mode: 'ro', from: directory },
    ],
  }));
}

/**
 * Makes a commit of a diff, next to a mirror that has the parent: its objects are in a directory of their own, which is removed. Git works on the index alone, so that
 * nothing of the commit becomes a file, and what it made is compared with what the diff says. Errors: `diff_invalid`, `diff_too_big`, `diff_conflict`,
 * `program_failed`.
 */
export async function buildCommit(spawn: Spawn, mirror: Mirror, change: CommitChange): Promise<BuiltCommit> {
  const files = readDiff(change.diff);
  const staging = join(dirname(mirror.directory), `${randomUUID()}.commit`);
  await makeStaging(staging);
  const git = async (args: readonly string[], stdin?: Uint8Array) =>
    await runToEnd(
      spawn,
      {
        label: `git ${args[0]}`,
        program,
        args: [...onRepository, ...args],
        env: environment,
        binds: [
          { source: staging, target: '/repository', mode: 'ro' },
          { source: join(staging, 'objects'), target: '/repository/objects', mode: 'rw' },
          { source: join(staging, 'index'), target: '/index', mode: 'rw' },
          { source: mirror.directory, target: '/mirror', mode: 'ro' },
        ],
      },
      { ...(stdin && { stdin }), maxStdoutBytes: commitPackMax },
    ).then(({ stdout }) => stdout);
  try {
    await git([...readTree, change.base]);
    await git(apply, change.diff).catch((error: unknown) => {
      throw toConflict(error);
    });
    const tree = objectIn(await git(writeTree));
    checkChange(files, await git([...diffTree, change.base, tree]));
    const commit = objectIn(await git(hashCommit, commitObject(tree, change)));
    const { known = [change.base] } = change;
    const revisions = [commit, ...known.map((one) => `^${one}`), ''].join('\n');
    const pack = await git(packCommit, Buffer.from(revisions)).catch((error: unknown) => {
      throw error instanceof FumehoodError && error.code === 'too_big'
        ? diffTooBig(`its commit has more than ${commitPackMax} bytes`)
        : error;
    });
    return { commit, pack: Buffer.from(pack) };
  } finally {
    await removeTree(spawn, staging);
  }
}

async function makeStaging(staging: string): Promise<void> {
  await mkdir(join(staging, 'refs'), { recursive: true });
  for (const part of ['', 'refs']) await chmod(join(staging, part), 0o711);
  for (const part of ['objects', 'index']) await sharedDirectory(join(staging, part));
  const files = {
    HEAD: 'ref: refs/heads/main\n',
    config: '[core]\n\trepositoryformatversion = 0\n\tbare = true\n',
  };
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(staging, name), text);
    await chmod(join(staging, name), 0o644);
  }
}

/** Git refuses a diff that is not for these files. */
function toConflict(error: unknown): unknown {
  const isFromGit = error instanceof FumehoodError && error.code === 'program_failed';
  return isFromGit ? diffConflict(error.message.slice(0, 1_000)) : error;
}

const objectIn = (stdout: Buffer): string => stdout.toString('latin1').trim();

/** What may not be in the name or the address of an author: git uses it to separate them. */
const separators = /[<>\p{Cc}]/gu;

function commitObject(tree: string, { base, authorName, authorEmail, at, message }: CommitChange): Buffer {
  const name = authorName.replace(separators, '').trim() || 'nobody';
  const who = `${name} <${authorEmail.replace(separators, '').trim()}> ${Math.floor(at)} +0000`;
  const text = message.replaceAll('\0', '').trimEnd();
  return Buffer.from(`tree ${tree}\nparent ${base}\nauthor ${who}\ncommitter ${who}\n\n${text}\n`);
}
