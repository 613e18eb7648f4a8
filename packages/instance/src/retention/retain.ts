import { readdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@fumehood/base';
import type { Logger } from 'pino';
import { unlessHeld } from '../backup/hold.ts';
import { batchDigests, removeOldBatchSpecs } from '../batches/retention.ts';
import type { InstanceConfig } from '../config.ts';
import { partDigests, removeOldPartialUploads } from '../codeintel/partial.ts';
import type { Db } from '../db/connect.ts';
import { forgetDeliveries } from '../repos/deliveries.ts';
import { type Mirrors, mirrorsName } from '../repos/mirrors.ts';
import { readPlaces } from '../repos/records.ts';
import type { CommitStore } from '../repos/store.ts';
import { removeUnused } from './files.ts';
import type { KindPolicy } from './policy.ts';
import { type IndexRetentionDeps, removeOldIndexes } from './indexes.ts';
import { artifactDigests, type Bounds, readNeeds, removeOldJobs } from './rows.ts';

/** Time between two rounds, milliseconds, and before the first one: an instance that starts has other things to do. */
const periodMs = 600_000;
const firstMs = 60_000;

interface RetentionDeps {
  readonly db: Db;
  readonly commits: CommitStore;
  readonly mirrors: Mirrors;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Removes what the retention policy no longer keeps, every ten minutes until `signal` is aborted; nothing while a backup is made, which
 * names what must stay, or while another replica does it.
 */
export async function retain(
  deps: RetentionDeps,
  config: Pick<InstanceConfig, 'retention' | 'directories' | 'replica'>,
  signal: AbortSignal,
): Promise<void> {
  await deps.clock.sleep(firstMs, signal).catch(() => {});
  while (!signal.aborted) {
    try {
      const removed = await unlessHeld(deps.db, async () => {
        await forgetDeliveries(deps.db);
        await deps.mirrors.removeOthers(new Set(await readPlaces(deps.db)), deps.clock.now());
        return await removeOld(deps, config);
      });
      if (removed && Object.values(removed).some((count) => count > 0))
        deps.log.info(removed, 'removed what the retention policy does not keep');
    } catch (error) {
      deps.log.error({ error }, 'removing what is old failed; the next round tries again');
    }
    await deps.clock.sleep(periodMs, signal).catch(() => {});
  }
}

/** Does one round. Returns how many things of each kind it removed. */
export async function removeOld(
  deps: Pick<RetentionDeps, 'commits' | 'clock'> & IndexRetentionDeps,
  { retention, directories, replica }: Pick<InstanceConfig, 'retention' | 'directories' | 'replica'>,
): Promise<{ readonly [kind in keyof InstanceConfig['retention']]: number }> {
  const { db, commits, clock } = deps;
  const now = clock.now();
  const disk = await statfs(directories.blobs);
  const bounds = ({ days, maxMiB }: KindPolicy): Bounds => ({
    before: new Date(now - days * 86_400_000),
    maxBytes: maxMiB === null ? Math.floor((disk.blocks * disk.bsize) / 10) : maxMiB * 2 ** 20,
  });
  const jobs = await removeOldJobs(db, bounds(retention.jobs));
  const indexes = await removeOldIndexes(deps, bounds(retention.indexes));
  await removeOldBatchSpecs(db);
  const needs = await readNeeds(db);
  const blobs = join(directories.blobs, 'sha256');
  const blobOf = (digest: string) => join(blobs, digest.replace(/^sha256:/, ''));
  await removeOldPartialUploads(db);
  // What a job brought back stays with the job, and counts as a part of it. After the job it is a blob that nobody uses. So it is with the parts
  // of an upload, and with what batch specs have.
  const kept = new Set(
    [...(await artifactDigests(db)), ...(await partDigests(db)), ...(await batchDigests(db))].map(blobOf),
  );
  const images = await removeUnused(
    (await below(blobs)).filter((path) => !kept.has(path)),
    new Set(needs.images.map(blobOf)),
    bounds(retention.images),
    { staging: join(directories.blobs, 'staging', replica), now },
  );
  const repositories = (await below(directories.repositories)).filter(
    (path) =>
      ![join(directories.repositories, 'staging'), join(directories.repositories, mirrorsName)].includes(
        path,
      ),
  );
  const neededCommits = needs.commits.flatMap(
    ({ repository, commit }) => commits.find(repository, commit) ?? [],
  );
  const removedCommits = await removeUnused(
    (await Promise.all(repositories.map(below))).flat(),
    new Set(neededCommits),
    bounds(retention.commits),
    { staging: join(directories.repositories, 'staging', replica), now },
  );
  return { jobs, indexes, images, commits: removedCommits };
}

const below = async (directory: string) =>
  (await readdir(directory).catch(() => [])).map((name) => join(directory, name));
