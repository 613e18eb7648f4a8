import { createHash, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FumehoodError, runToEnd, type Spawn } from '@fumehood/base';
import { gitEnvironment, makeRepository } from '@fumehood/git';
import { sync, syncTree } from '../durable.ts';
import { commitIncomplete, packHoldsMore } from './errors.ts';

/**
 * Commits of repositories, each in a bare repository of its own that holds that commit without its history, and nothing
 * else: git answers any object that a repository has to whoever may read of it (protocol v2, whatever is configured), so
 * what a job may not read must not be there (design §4).
 */
export interface CommitStore {
  /** Directory of the repository that holds this commit, or null. */
  find(repository: string, commit: string): string | null;
  /**
   * Takes a pack with the whole commit and nothing else, synced. False when it was there. Errors: `repository_invalid`,
   * `commit_incomplete`, `pack_holds_more`.
   */
  add(repository: string, commit: string, pack: AsyncIterable<Uint8Array>): Promise<boolean>;
}

export async function openCommits(directory: string, spawn: Spawn): Promise<CommitStore> {
  const staging = join(directory, 'staging');
  // What an earlier process left half made.
  await rm(staging, { recursive: true, force: true });
  await mkdir(staging, { recursive: true, mode: 0o711 });
  await chmod(directory, 0o711); // git's uid must come through
  await chmod(staging, 0o711);
  const placeOf = (repository: string) =>
    join(directory, createHash('sha256').update(repository).digest('hex').slice(0, 32));
  const pathOf = (repository: string, commit: string) => join(placeOf(repository), `${commit}.git`);
  return {
    find(repository, commit) {
      const path = pathOf(repository, commit);
      return existsSync(path) ? path : null;
    },
    async add(repository, commit, pack) {
      const path = pathOf(repository, commit);
      if (existsSync(path)) {
        await sync(placeOf(repository)); // its writer may be about to do that
        return false;
      }
      const staged = join(staging, randomUUID());
      try {
        // Its parents, if it has any, are left out in any case.
        const made = await makeRepository(spawn, staged, commit, { shallow: true, bytes: pack });
        await checkExact(spawn, staged, made.commit);
        await mkdir(placeOf(repository), { recursive: true });
        await chmod(placeOf(repository), 0o711);
        await sync(directory);
        await syncTree(staged);
        await rename(staged, path).catch((error: NodeJS.ErrnoException) => {
          if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
        });
        await sync(placeOf(repository));
      } finally {
        await rm(staged, { recursive: true, force: true });
      }
      return true;
    },
  };
}

/** What git says of objects that are too many, bytes: one of them is enough to refuse all. */
const findingsMax = 65_536;

/**
 * Walks from the commit to every file of it, in one git that also knows which objects of the pack it did not come by. No file
 * is read for that, and git's own sets are compared: counts would not do, because git has the empty tree without being given it.
 */
async function checkExact(spawn: Spawn, directory: string, commit: string): Promise<void> {
  const findings = await runToEnd(
    spawn,
    {
      label: 'git fsck',
      program: '/usr/bin/git',
      args: ['--git-dir', '/repository', 'fsck', '--connectivity-only', '--unreachable', '--no-dangling'],
      env: gitEnvironment,
      binds: [{ source: directory, target: '/repository', mode: 'ro' }],
    },
    { maxStdoutBytes: findingsMax },
  ).catch((error: unknown) => {
    const code = error instanceof FumehoodError ? error.code : '';
    if (code === 'program_failed') throw commitIncomplete(commit);
    throw code === 'too_big' ? packHoldsMore(commit) : error;
  });
  if (findings.length > 0) throw packHoldsMore(commit);
}
