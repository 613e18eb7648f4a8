import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import {
  GloveboxError,
  runToEnd,
  type Spawn,
  type SpawnedProcess,
  type SpawnRequest,
  sharedDirectory,
} from '@glovebox/base';
import { repositoryInvalid } from '../errors.ts';
import { type FetchedPack, packMax } from './fetch.ts';

/** A bare repository that holds one commit. Git reads it under the Spawn profile only. */
export interface Repository {
  readonly packs: string;
  readonly commit: string;
  readonly shallow: boolean;
  /** A running git over it, reading only. */
  git(label: string, args: readonly string[]): Promise<SpawnedProcess>;
}

/** Nothing outside of the repository's own files is read; nothing of them is run. */
const environment = {
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_NO_REPLACE_OBJECTS: '1',
  GIT_OPTIONAL_LOCKS: '0',
  GIT_TERMINAL_PROMPT: '0',
};

/**
 * Makes the repository and takes the pack into it. The directory is ours; the program may write its objects alone.
 * `--strict` checks every object and that nothing is missing. Errors: `repository_invalid`, and those of the pack's stream.
 */
export async function makeRepository(
  spawn: Spawn,
  directory: string,
  commit: string,
  pack: FetchedPack,
): Promise<Repository> {
  const packs = join(directory, 'objects', 'pack');
  for (const part of ['', 'objects', 'refs']) {
    await mkdir(join(directory, part), { recursive: true });
    await chmod(join(directory, part), 0o711);
  }
  await sharedDirectory(packs);
  const files = {
    HEAD: `${commit}\n`,
    config: '[core]\n\trepositoryformatversion = 0\n\tbare = true\n',
    ...(pack.shallow && { shallow: `${commit}\n` }),
  };
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(directory, name), text);
    await chmod(join(directory, name), 0o644);
  }
  const request = (label: string, args: readonly string[], writable: boolean): SpawnRequest => ({
    label,
    program: '/usr/bin/git',
    args: ['--git-dir', '/repository', ...args],
    env: environment,
    binds: [
      { source: directory, target: '/repository', mode: 'ro' },
      ...(writable ? [{ source: packs, target: '/repository/objects/pack', mode: 'rw' as const }] : []),
    ],
  });
  const args = ['index-pack', '--stdin', '--strict', `--max-input-size=${packMax}`];
  try {
    await runToEnd(spawn, request('git index-pack', args, true), { stdin: Readable.from(pack.bytes) });
  } catch (error) {
    // What index-pack says is about the objects: the repository's fault, not this machine's.
    if (error instanceof GloveboxError && error.code === 'program_failed')
      throw repositoryInvalid(error.message);
    throw error;
  }
  return { packs, commit, shallow: pack.shallow, git: (label, args) => spawn(request(label, args, false)) };
}

/** The pack and its index, by the names that git gave them. */
export async function packFiles(packs: string): Promise<string[]> {
  return (await readdir(packs)).filter((name) => /^pack-[0-9a-f]{40}\.(pack|idx)$/.test(name)).sort();
}
