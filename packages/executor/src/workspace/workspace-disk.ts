import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, oncePerKey, type Spawn } from '@fumehood/base';
import { writeDisk } from '@fumehood/disk';
import { makeRepository, readTree, type TreeEntry } from '@fumehood/git';
import type { JobClient } from '../uplink/job-client.ts';
import { retryWhileUnreachable } from '../uplink/retry.ts';
import { checkRepositoryAccess, type CommitReference, fetchPack } from './fetch-commit.ts';
import { checkFilePaths, type WorkspaceFile } from './job-files.ts';
import { type PlacedCommit, workspaceTar } from './workspace-tar.ts';
import type { SparseDirectories } from './sparse-checkout.ts';

/** What making a workspace needs. */
export interface WorkspaceSource {
  readonly spawn: Spawn;
  readonly clock: Clock;
  /** Part of the cache key: repositories of two instances differ even if they have the same name. */
  readonly instanceUrl: string;
  /** The directory of cached disks. */
  readonly disks: string;
  /** The directory for repositories, which are removed after use. */
  readonly work: string;
}

/** The contents of a workspace. */
export interface WorkspaceContents {
  /** Null when the job has no repository. */
  readonly commit: CommitReference | null;
  /** The directory of the commit, a path from the top of the workspace; `''` is the top. */
  readonly directory: string;
  /** The directories of the commit that are checked out. An empty list stands for the whole commit. */
  readonly sparse: SparseDirectories;
  readonly files: readonly WorkspaceFile[];
}

/** Part of the cache key. It has to change when the same contents would give another disk, or a file of another mode. */
const format = 3;
const makeOnce = oncePerKey<void>();

/**
 * Makes the read-only disk of these contents, unless it is cached, and returns its name in the directory of disks. The instance is
 * asked under this job's token even if the disk is cached (docs/invariants.md, 11). Errors: `commit_missing`, `repository_invalid`, `job_refused`, `instance_…`, `git_protocol`.
 */
export async function workspaceDisk(
  source: WorkspaceSource,
  client: JobClient,
  contents: WorkspaceContents,
  signal: AbortSignal,
  onProgress: (line: string) => void,
): Promise<string> {
  const { commit } = contents;
  // This request is idempotent. It is retried because a connection that was idle for long is often closed.
  if (commit)
    await retryWhileUnreachable(source.clock, signal, () => checkRepositoryAccess(client, commit, signal));
  const file = `workspace-${cacheKey(source.instanceUrl, contents)}.sqfs`;
  const path = join(source.disks, file);
  let makes = false;
  const make = () => {
    makes = true;
    return makeDisk(source, client, contents, signal, path, onProgress);
  };
  while (!existsSync(path)) {
    // A run uses the token of the job that started it and ends with that job. When the run of another job fails, this job tries
    // again: it starts a run of its own, or waits for the one that a third job has started meanwhile.
    await makeOnce(path, make).catch((error: unknown) => {
      if (makes) throw error;
    });
    signal.throwIfAborted();
  }
  if (!makes) onProgress('the disk of this workspace is in the cache');
  const now = source.clock.now() / 1000;
  await utimes(path, now, now); // the janitor removes the files that were not used for the longest time
  return file;
}

function cacheKey(instanceUrl: string, { commit, directory, sparse, files }: WorkspaceContents): string {
  const hash = createHash('sha256');
  const name = [format, instanceUrl, commit?.repository, commit?.commit, directory, sparse, files.length];
  hash.update(JSON.stringify(name));
  for (const { path, content, mtime } of files)
    hash.update(JSON.stringify([path, mtime, content.length])).update(content);
  return hash.digest('hex').slice(0, 32);
}

async function makeDisk(
  source: WorkspaceSource,
  client: JobClient,
  { commit, directory, sparse, files }: WorkspaceContents,
  signal: AbortSignal,
  path: string,
  onProgress: (line: string) => void,
): Promise<void> {
  const work = await mkdtemp(join(source.work, 'repository-'));
  try {
    await chmod(work, 0o710); // git runs with another uid and this process's group, and has to pass through
    let placed: PlacedCommit | null = null;
    if (commit) {
      const pack = await fetchPack(client, commit, signal);
      const repository = await makeRepository(source.spawn, join(work, 'git'), commit.commit, pack);
      onProgress('objects fetched and checked');
      const tree: TreeEntry[] = [];
      for await (const entry of readTree(repository)) tree.push(entry);
      placed = { repository, tree, directory, sparse };
    }
    const tree = placed?.tree ?? [];
    if (files.length > 0) checkFilePaths(files, tree, directory);
    const tar = workspaceTar(placed, files);
    const { bytes } = await writeDisk(source.spawn, tar.bytes, path, () => tar.entries());
    onProgress(`${tree.length + files.length} files on a disk of ${bytes} bytes`);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
