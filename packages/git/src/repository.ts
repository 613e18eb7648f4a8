import { chmod, mkdir, opendir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import {
  type AllowedCommand,
  FumehoodError,
  openOutput,
  runToEnd,
  type Spawn,
  type SpawnedProcess,
  type SpawnRequest,
  sharedDirectory,
} from '@fumehood/base';
import { repositoryInvalid, tooManyOutputs } from './errors.ts';

/** A bare repository that holds one commit and nothing else. Git runs on it under the Spawn profile only. */
export interface Repository {
  /** The directory of the pack and its index. */
  readonly packs: string;
  readonly commit: string;
  /** True when the commit has parents that are left out. */
  readonly shallow: boolean;
  /** Starts git on the repository, without permission to write. `label` names the program in errors. */
  git(label: string, args: readonly string[]): Promise<SpawnedProcess>;
}

/** The objects of one commit. */
export interface CommitPack {
  /** True when the commit has parents that are left out. */
  readonly shallow: boolean;
  readonly bytes: AsyncIterable<Uint8Array>;
}

/** Bytes of the largest pack that is accepted: 8 GiB. An executor and an instance use the same limit. */
export const packMax = 8 * 2 ** 30;

/**
 * The environment of every git. Git reads no configuration of the system or of a user, prompts for nothing, and works on a
 * repository that another user owns. It shows the objects as they were committed, without replacements and grafts. It fetches
 * nothing: a repository's configuration can name programs that a fetch would run. `GIT_ALLOW_PROTOCOL` says so to versions of git
 * that do not know `GIT_NO_LAZY_FETCH`.
 */
export const gitEnvironment: Readonly<Record<string, string>> = {
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_COUNT: '1',
  GIT_CONFIG_KEY_0: 'safe.directory',
  GIT_CONFIG_VALUE_0: '*',
  GIT_NO_REPLACE_OBJECTS: '1',
  GIT_GRAFT_FILE: '/none',
  GIT_NO_LAZY_FETCH: '1',
  GIT_ALLOW_PROTOCOL: 'none',
  GIT_OPTIONAL_LOCKS: '0',
  GIT_TERMINAL_PROMPT: '0',
};

const program = '/usr/bin/git';
const onRepository = ['--git-dir', '/repository'];
const indexPack = [
  'index-pack',
  '--stdin',
  '--check-self-contained-and-connected',
  `--max-input-size=${packMax}`,
];
/** The arguments of `readTree`, before the commit. */
export const readTreeArguments = ['ls-tree', '-rzl', '--full-tree'];
/** For `gitCommands`: the use of `readTree`. */
export const readTreeUse = [...readTreeArguments, /[0-9a-f]{40}/];

/**
 * Returns what a helper has to allow for `makeRepository` and these uses of `Repository.git`, in repositories below `directory`.
 */
export function gitCommands(
  directory: string,
  uses: readonly (readonly (string | RegExp)[])[],
): AllowedCommand[] {
  const repository = { target: '/repository', mode: 'ro', from: directory } as const;
  const packs = { target: '/repository/objects/pack', mode: 'rw', from: directory } as const;
  const common = { program, env: gitEnvironment };
  return [
    { ...common, args: [...onRepository, ...indexPack], binds: [repository, packs] },
    ...uses.map((args) => ({
      ...common,
      args: [...onRepository, ...args],
      binds: [repository],
    })),
  ];
}

/**
 * Makes a repository in `directory` and stores the pack in it. Git may write only into the directory of packs; the other files
 * are written here. Git checks that every object can be read and that none is missing, as a clone does; it takes what `git fsck`
 * finds fault with and `git clone` does not. `readTree` checks the paths. Errors: `repository_invalid`,
 * `output_refused`, and those of the pack's stream.
 */
export async function makeRepository(
  spawn: Spawn,
  directory: string,
  commit: string,
  pack: CommitPack,
): Promise<Repository> {
  const packs = join(directory, 'objects', 'pack');
  for (const part of ['', 'objects', 'refs']) {
    await mkdir(join(directory, part), { recursive: true });
    await chmod(join(directory, part), 0o711);
  }
  await sharedDirectory(packs);
  const files = {
    HEAD: 'ref: refs/heads/main\n',
    'packed-refs': `${commit} refs/heads/main\n`,
    config: '[core]\n\trepositoryformatversion = 0\n\tbare = true\n',
    ...(pack.shallow && { shallow: `${commit}\n` }),
  };
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(directory, name), text);
    await chmod(join(directory, name), 0o644);
  }
  const request = (label: string, args: readonly string[], writable: boolean): SpawnRequest => ({
    label,
    program,
    args: [...onRepository, ...args],
    env: gitEnvironment,
    binds: [
      { source: directory, target: '/repository', mode: 'ro' },
      ...(writable ? [{ source: packs, target: '/repository/objects/pack', mode: 'rw' as const }] : []),
    ],
  });
  const { uid } = await runToEnd(spawn, request('git index-pack', indexPack, true), {
    stdin: Readable.from(pack.bytes),
  }).catch((error: unknown) => {
    throw toRepositoryInvalid(error);
  });
  await checkPacks(packs, uid);
  return { packs, commit, shallow: pack.shallow, git: (label, args) => spawn(request(label, args, false)) };
}

/** Most files that index-pack leaves: the pack, and what later versions of git add to its index. */
const filesMax = 8;

/**
 * Checks that the directory of packs holds a few regular files and nothing else, before anything here or later reads, syncs or
 * serves it. After this, no git may write to it. Errors: `output_refused`.
 */
export async function checkPacks(packs: string, uid: number): Promise<void> {
  let files = 0;
  for await (const { name } of await opendir(packs)) {
    files += 1;
    if (files > filesMax) throw tooManyOutputs(filesMax);
    const file = await openOutput(packs, name, { uid, maxBytes: packMax });
    await file.close();
  }
  await chmod(packs, 0o750);
}

/** A failure of index-pack means that the objects are invalid, not that this machine is at fault. */
export function toRepositoryInvalid(error: unknown): unknown {
  const isFromGit = error instanceof FumehoodError && error.code === 'program_failed';
  return isFromGit ? repositoryInvalid(error.message) : error;
}

/** Returns the names of the pack and of its index, sorted. */
export async function packFiles(packs: string): Promise<string[]> {
  return (await readdir(packs)).filter((name) => /^pack-[0-9a-f]{40}\.(pack|idx)$/.test(name)).sort();
}
