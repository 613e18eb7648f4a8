import { createHash } from 'node:crypto';
import { chmod, mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import {
  abortable,
  type Clock,
  type FileCacheUse,
  removeTree,
  type Spawn,
  type SpawnBind,
} from '@fumehood/base';
import { makeRepository } from '@fumehood/git';
import type { DiskMaker } from '../disk-maker/make-disk.ts';
import { insidePaths } from '../disk-maker/messages.ts';
import { isFailureOfOneJob } from '../errors.ts';
import type { JobClient } from '../uplink/job-client.ts';
import { fetchBlob } from '../uplink/fetch-blob.ts';
import { retryWhileUnreachable } from '../uplink/retry.ts';
import { checkRepositoryAccess, type CommitReference, fetchPack } from './fetch-commit.ts';
import type { WorkspaceFile } from './workspace-file.ts';
import type { SparseDirectories } from './sparse-checkout.ts';

/** What making a workspace needs. */
export interface WorkspaceSource {
  readonly spawn: Spawn;
  readonly maker: DiskMaker;
  readonly clock: Clock;
  readonly cache: FileCacheUse;
  /** Part of the cache key: repositories of two instances differ even if they have the same name. */
  readonly instanceUrl: string;
  /** The directory of cached disks. */
  readonly disks: string;
  /** The directory for repositories, which are removed after use. */
  readonly work: string;
  /** The directory of cached archives. */
  readonly blobs: string;
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
  /** The digest of an archive on the instance that is the whole workspace; null: there is none. */
  readonly archive: string | null;
}

/** Part of the cache key. It has to change when the same contents would give another disk, or a file of another mode. */
const format = 4;
/** Bytes of a job's files that are hashed before other work of the agent, such as renewing leases, has its turn. */
const hashedAtOnce = 4 * 2 ** 20;

/**
 * Makes the read-only disk of these contents, unless it is cached, and returns its name in the directory of disks. The instance
 * is asked under this job's token even if the disk is cached (docs/invariants.md, 11). Errors: `commit_missing`,
 * `repository_invalid`, `job_refused`, `instance_…`, `git_protocol`.
 */
export async function workspaceDisk(
  source: WorkspaceSource,
  client: JobClient,
  contents: WorkspaceContents,
  signal: AbortSignal,
  onProgress: (line: string) => void,
): Promise<string> {
  const { commit, archive: digest } = contents;
  // This request is idempotent. It is retried because a connection that was idle for long is often closed.
  if (commit)
    await retryWhileUnreachable(source.clock, signal, () => checkRepositoryAccess(client, commit, signal));
  const { blobs, cache, clock } = source;
  const archive = digest === null ? null : await fetchBlob(client, digest, blobs, cache, clock, signal);
  const file = `workspace-${await cacheKey(source.instanceUrl, contents)}.sqfs`;
  const path = join(source.disks, file);
  const origin = await source.cache.get({
    files: [path],
    what: 'the disk of the workspace',
    signal,
    isOwnFailure: isFailureOfOneJob,
    make: (stop) => makeDisk(source, client, { ...contents, archive }, stop, path, onProgress),
  });
  if (origin !== 'made') onProgress('the disk of this workspace is in the cache');
  return file;
}

async function cacheKey(
  instanceUrl: string,
  { commit, directory, sparse, files, archive }: WorkspaceContents,
): Promise<string> {
  const hash = createHash('sha256');
  const name = [format, instanceUrl, commit?.repository, commit?.commit, directory, sparse, files.length];
  hash.update(JSON.stringify(archive === null ? name : [...name, archive]));
  for (const { path, content, mtime } of files) {
    hash.update(JSON.stringify([path, mtime, content.length]));
    for (let at = 0; at < content.length; at += hashedAtOnce) {
      hash.update(content.subarray(at, at + hashedAtOnce));
      await setImmediate();
    }
  }
  return hash.digest('hex').slice(0, 32);
}

async function makeDisk(
  source: WorkspaceSource,
  client: JobClient,
  { commit, directory, sparse, files, archive }: WorkspaceContents,
  signal: AbortSignal,
  path: string,
  onProgress: (line: string) => void,
): Promise<void> {
  const work = await mkdtemp(join(source.work, 'repository-'));
  try {
    await chmod(work, 0o710); // git runs with another uid and this process's group, and has to pass through
    const place = join(work, 'git');
    const binds: SpawnBind[] = [];
    let shallow = false;
    if (commit) {
      const pack = await fetchPack(client, commit, signal);
      ({ shallow } = await makeRepository(abortable(source.spawn, signal), place, commit.commit, pack));
      binds.push({ source: place, target: insidePaths.repository, mode: 'ro' });
      onProgress('objects fetched and checked');
    }
    if (archive !== null) binds.push({ source: archive, target: insidePaths.archive, mode: 'ro' });
    const request = {
      type: 'workspace' as const,
      commit: commit && { id: commit.commit, shallow },
      directory,
      sparse: [...sparse],
      files: files.map(({ path: name, mtime, content }) => ({ path: name, mtime, bytes: content.length })),
      archive: archive !== null,
    };
    const contents = files.map(({ content }) => content);
    const made = await source.maker.make(request, binds, path, signal, contents);
    onProgress(`${made.files} files on a disk of ${made.bytes} bytes`);
  } finally {
    await removeTree(source.spawn, work);
  }
}
