import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Spawn } from '@glovebox/base';
import { writeDisk } from '@glovebox/disk';
import { makeRepository } from '@glovebox/git';
import type { JobClient } from '../uplink/job.ts';
import { askRepository, fetchPack, type Wanted } from './fetch.ts';
import { workspaceTar } from './tar.ts';
import { listTree } from './tree.ts';

export interface WorkspaceSource {
  readonly spawn: Spawn;
  readonly clock: Clock;
  /** Part of the cache's key: equal names on two instances are two repositories. */
  readonly instanceUrl: string;
  /** Where disks are kept. */
  readonly disks: string;
  /** Where repositories are made, and removed again. */
  readonly work: string;
}

/** Changes when the same commit would give another disk. */
const format = 1;
const making = new Map<string, Promise<void>>();

/**
 * The read-only disk of a commit, made once; its name in the disk directory. The instance is asked with this job's token
 * even if the disk is there. Errors: `commit_missing`, `repository_invalid`, `instance_…`, `git_protocol`.
 */
export async function workspaceDisk(
  source: WorkspaceSource,
  client: JobClient,
  wanted: Wanted,
  signal: AbortSignal,
  onProgress: (line: string) => void,
): Promise<string> {
  await askRepository(client, wanted, signal);
  const key = createHash('sha256')
    .update(JSON.stringify([format, source.instanceUrl, wanted.repository, wanted.commit]))
    .digest('hex');
  const file = `workspace-${key.slice(0, 32)}.sqfs`;
  const path = join(source.disks, file);
  // Another job may be making it; if that one fails, or is canceled, it is our turn.
  await making.get(path)?.catch(() => {});
  signal.throwIfAborted();
  if (existsSync(path)) onProgress('the disk of this commit is in the cache');
  else {
    const running = makeDisk(source, client, wanted, signal, path, onProgress);
    making.set(path, running);
    await running.finally(() => making.delete(path));
  }
  const now = source.clock.now() / 1000;
  await utimes(path, now, now); // the janitor removes what was not used for long
  return file;
}

async function makeDisk(
  source: WorkspaceSource,
  client: JobClient,
  wanted: Wanted,
  signal: AbortSignal,
  path: string,
  onProgress: (line: string) => void,
): Promise<void> {
  const directory = await mkdtemp(join(source.work, 'repository-'));
  try {
    await chmod(directory, 0o711); // git's uid must come through
    const pack = await fetchPack(client, wanted, signal);
    const repository = await makeRepository(source.spawn, join(directory, 'git'), wanted.commit, pack);
    onProgress('objects fetched and checked');
    const tree = await listTree(repository);
    const tar = workspaceTar(repository, tree);
    const { bytes } = await writeDisk(source.spawn, tar.bytes, path, () => ({ entries: tar.entries() }));
    onProgress(`${tree.length} files on a disk of ${bytes} bytes`);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
