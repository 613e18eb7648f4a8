import { type Clock, FumehoodError } from '@fumehood/base';
import { sql } from 'kysely';
import type { Logger } from 'pino';
import type { Db } from '../db/connect.ts';
import type { Wakes } from '../db/wakes.ts';
import type { Mirrors } from '../repos/mirrors.ts';
import { countMissing } from '../repos/nearby.ts';
import { placeOf } from '../repos/records.ts';
import type { Vault } from '../secrets/vault.ts';
import { codeHostOf } from './host-of.ts';
import { syncDelay } from './sync-delay.ts';
import {
  type ChangesetStatus,
  changesetsTopic,
  type DueChangeset,
  postponeStatus,
  storeStatus,
  takeDueChangeset,
} from './sync-records.ts';

/** How often a replica looks for changesets that are due, milliseconds. */
const pollMs = 10_000;
/** Time before a state that could not be read is read again, milliseconds: if the host may be asked again, and if somebody has to do something first. */
const retryMs = 300_000;
const refusedMs = 3_600_000;

export interface SyncChangesetsDeps {
  readonly db: Db;
  readonly vault: Vault;
  readonly mirrors: Mirrors;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Reads the states of changesets from their code hosts when they are due, one at a time, until `signal` is aborted. Any number of replicas
 * may do this at once.
 */
export async function syncChangesets(
  deps: SyncChangesetsDeps,
  wakes: Wakes,
  signal: AbortSignal,
): Promise<void> {
  const { db, clock, log } = deps;
  const requests = wakes.subscribe(changesetsTopic);
  while (!signal.aborted) {
    try {
      const due = await takeDueChangeset(db);
      if (due) await syncChangeset(deps, due);
      else await requests.next(pollMs, signal);
    } catch (error) {
      log.error({ error }, 'looking for changesets whose states are due failed; the next round tries again');
      await clock.sleep(pollMs, signal).catch(() => {});
    }
  }
  requests.close();
}

/** Reads the state of a changeset, and stores it, or when it is to be read again. */
export async function syncChangeset(deps: SyncChangesetsDeps, due: DueChangeset): Promise<void> {
  const { db, clock, log } = deps;
  const { repository, externalId } = due;
  try {
    const status = await readStatus(deps, due);
    await storeStatus(db, due, status, syncDelay(status, due.unchangedMs));
  } catch (error) {
    if (!(error instanceof FumehoodError)) throw error;
    log.warn({ error, repository, externalId }, 'the state of a changeset could not be read');
    await postponeStatus(db, due, delayAfter(error, clock.now()));
  }
}

function delayAfter({ code, details }: FumehoodError, now: number): number {
  if (code === 'host_rate_limited') return Math.max(Number(details.retryAt) - now, 0);
  return code === 'host_unavailable' ? retryMs : refusedMs;
}

/** Reads the state of a changeset from its host, or that of a branch alone from the mirror. */
async function readStatus(deps: SyncChangesetsDeps, due: DueChangeset): Promise<ChangesetStatus> {
  const { repository, externalId } = due;
  const host = externalId === null ? null : await codeHostOf(deps, repository);
  if (host && externalId !== null) return await host.read(externalId);
  if (externalId !== null) return due.status; // its code host was removed
  return { state: (await isMerged(deps, due)) ? 'merged' : null, review: null, checks: null };
}

/**
 * Returns whether the mirror has the commit of a branch in the history of its base. What the mirror cannot say is no: the branch has not
 * arrived there, or the base is gone.
 */
async function isMerged({ db, mirrors }: SyncChangesetsDeps, due: DueChangeset): Promise<boolean> {
  const { repository, commit, baseRef } = due;
  const place = await placeOf(db, repository);
  const { rows } = await sql<{ commit: string }>`
    select commit from repository_refs join repositories on id = repository_id
    where repositories.name = ${repository} and repository_refs.name = ${baseRef} and commit is not null
  `.execute(db);
  if (place === null || commit === null || !rows[0]) return false;
  return (await countMissing(await mirrors.open(place), commit, rows[0].commit)) === 0;
}
