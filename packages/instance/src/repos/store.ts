import { createHash, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { runToEnd, type Spawn } from '@glovebox/base';
import { gitEnvironment, makeRepository } from '@glovebox/git';
import { commitIncomplete } from './errors.ts';

/**
 * Commits of repositories, each in a bare repository of its own that holds that commit without its history, and nothing
 * else: git answers any object that a repository has to whoever may read of it (protocol v2, whatever is configured), so
 * what a job may not read must not be there (design §4).
 */
export interface CommitStore {
  /** Directory of the repository that holds this commit, or null. */
  find(repository: string, commit: string): string | null;
  /** Takes a pack with the whole commit. False when it was there. Errors: `repository_invalid`, `commit_incomplete`. */
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
      if (existsSync(path)) return false;
      const staged = join(staging, randomUUID());
      try {
        // Its parents, if it has any, are left out in any case.
        const made = await makeRepository(spawn, staged, commit, { shallow: true, bytes: pack });
        await checkComplete(spawn, staged, made.commit);
        await mkdir(placeOf(repository), { recursive: true });
        await chmod(placeOf(repository), 0o711);
        await rename(staged, path).catch((error: NodeJS.ErrnoException) => {
          if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
        });
      } finally {
        await rm(staged, { recursive: true, force: true });
      }
      return true;
    },
  };
}

/** Walks from the commit to every file of it. */
async function checkComplete(spawn: Spawn, directory: string, commit: string): Promise<void> {
  try {
    await runToEnd(spawn, {
      label: 'git rev-list',
      program: '/usr/bin/git',
      args: ['--git-dir', '/repository', 'rev-list', '--objects', '--quiet', '-n', '1', `${commit}^{commit}`],
      env: gitEnvironment,
      binds: [{ source: directory, target: '/repository', mode: 'ro' }],
    });
  } catch {
    throw commitIncomplete(commit);
  }
}
