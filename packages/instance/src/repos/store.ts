import { createHash, randomUUID } from 'node:crypto';
import { existsSync, utimesSync } from 'node:fs';
import { chmod, mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { type AllowedCommand, FumehoodError, removeTree, runToEnd, type Spawn } from '@fumehood/base';
import { checkTree, gitCommands, gitEnvironment, makeRepository, readTreeUse } from '@fumehood/git';
import { sync, syncTree } from '../durable.ts';
import { commitIncomplete, packHoldsMore } from './errors.ts';

/**
 * Stores each commit in a bare repository of its own, without its history and with nothing else. Git's protocol v2 sends any object
 * of a repository to whoever may read from it, whatever is configured, so an object that a job may not read must not be there.
 */
export interface CommitStore {
  /** Returns the directory of the repository that holds this commit, or null. */
  find(repository: string, commit: string): string | null;
  /**
   * Stores a commit from a pack that holds the whole commit and nothing else, and syncs it. Returns false when the store had the
   * commit. Errors: `repository_invalid`, also for a path that is none of a file below the root, `commit_incomplete`, `pack_holds_more`.
   */
  add(repository: string, commit: string, pack: AsyncIterable<Uint8Array>): Promise<boolean>;
}

/**
 * Opens the store in a directory, which replicas may share, and removes what an earlier process of this replica left half made. What
 * cannot be removed is in nobody's way: each name is used once.
 */
export async function openCommits(directory: string, spawn: Spawn, replica: string): Promise<CommitStore> {
  const stagings = join(directory, 'staging');
  const staging = join(stagings, replica);
  await removeTree(spawn, staging);
  await mkdir(staging, { recursive: true, mode: 0o710 });
  await chmod(directory, 0o710); // git runs as another user with this process's group, and has to traverse the directory
  for (const path of [stagings, staging]) await chmod(path, 0o710);
  const placeOf = (repository: string) =>
    join(directory, createHash('sha256').update(repository).digest('hex').slice(0, 32));
  const pathOf = (repository: string, commit: string) => join(placeOf(repository), `${commit}.git`);
  return {
    find(repository, commit) {
      const path = pathOf(repository, commit);
      if (!existsSync(path)) return null;
      markUsed(path);
      return path;
    },
    async add(repository, commit, pack) {
      const path = pathOf(repository, commit);
      if (existsSync(path)) {
        await sync(placeOf(repository)); // its writer may not have synced it yet
        return false;
      }
      const staged = join(staging, randomUUID());
      try {
        // Shallow: the repository does not need the parents of the commit.
        const made = await makeRepository(spawn, staged, commit, { shallow: true, bytes: pack });
        await checkExact(spawn, staged, made.commit);
        await checkTree(made);
        await mkdir(placeOf(repository), { recursive: true });
        await chmod(placeOf(repository), 0o710);
        await sync(directory);
        await syncTree(staged);
        await rename(staged, path).catch((error: NodeJS.ErrnoException) => {
          if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
        });
        await sync(placeOf(repository));
      } finally {
        await removeTree(spawn, staged);
      }
      return true;
    },
  };
}

/** Makes the time of modification that of the last use (retention/files.ts). */
function markUsed(path: string): void {
  const now = new Date();
  utimesSync(path, now, now);
}

/** Bytes that are read of git's list of superfluous objects; a single object is enough to refuse the pack. */
const maxFindingsBytes = 65_536;

const fsck = ['fsck', '--connectivity-only', '--unreachable', '--no-dangling'];

/** Returns what the helper has to allow for the store in this directory. */
export const storeCommands = (directory: string): AllowedCommand[] =>
  gitCommands(directory, [fsck, readTreeUse]);

/**
 * Checks that a repository holds every object of the commit and no other: `git fsck` walks from the commit to its files, without
 * reading them, and lists objects that it did not meet. Counting objects would not do, because git knows the empty tree without
 * having it. Errors: `commit_incomplete`, `pack_holds_more`.
 */
async function checkExact(spawn: Spawn, directory: string, commit: string): Promise<void> {
  const { stdout: findings } = await runToEnd(
    spawn,
    {
      label: 'git fsck',
      program: '/usr/bin/git',
      args: ['--git-dir', '/repository', ...fsck],
      env: gitEnvironment,
      binds: [{ source: directory, target: '/repository', mode: 'ro' }],
    },
    { maxStdoutBytes: maxFindingsBytes },
  ).catch((error: unknown) => {
    const code = error instanceof FumehoodError ? error.code : '';
    if (code === 'program_failed') throw commitIncomplete(commit);
    throw code === 'too_big' ? packHoldsMore(commit) : error;
  });
  if (findings.length > 0) throw packHoldsMore(commit);
}
