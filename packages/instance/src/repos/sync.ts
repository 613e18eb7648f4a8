import { type Clock, FumehoodError } from '@fumehood/base';
import { fetchHistory, listRefs, type Mirror, type RemoteHttp, type RemoteRefs } from '@fumehood/git';
import type { Logger } from 'pino';
import type { Db } from '../db/connect.ts';
import type { Wakes } from '../db/wakes.ts';
import type { Vault } from '../secrets/vault.ts';
import type { Mirrors } from './mirrors.ts';
import {
  type Claim,
  type ClaimedRepository,
  claimMs,
  claimRepository,
  failSync,
  finishSync,
  renewClaim,
  syncTopic,
} from './records.ts';
import { remoteHttp } from './remote-http.ts';

/** How often a replica looks for repositories that are due, milliseconds. */
const pollMs = 5_000;
/** Syncs of this replica at the same time. */
const concurrency = 2;
/** Longest sync, milliseconds. */
const syncMs = 3_600_000;
/** A mirror with more packs than this is made anew: git looks into each. */
export const packsMax = 50;
/** Codes of errors that are the remote's fault, and no reason to make its mirror anew. */
const ofRemote = ['remote_refused', 'remote_unreachable', 'git_protocol'];

export interface SyncDeps {
  readonly db: Db;
  readonly vault: Vault;
  readonly mirrors: Mirrors;
  readonly clock: Clock;
  readonly log: Logger;
  /** Is told of each sync that succeeded. Never rejects. */
  readonly onSynced: (repository: string) => Promise<void>;
}

/** Brings the mirrors of repositories up to date when they are due, until `signal` is aborted. Any number of replicas may do this at once. */
export async function syncRepositories(deps: SyncDeps, wakes: Wakes, signal: AbortSignal): Promise<void> {
  const { db, clock, log } = deps;
  const work = async () => {
    const requests = wakes.subscribe(syncTopic);
    while (!signal.aborted) {
      try {
        const claimed = await claimRepository(db);
        if (claimed) await syncClaimed(deps, claimed, signal);
        else await requests.next(pollMs, signal);
      } catch (error) {
        log.error({ error }, 'looking for repositories to sync failed; the next round tries again');
        await clock.sleep(pollMs, signal).catch(() => {});
      }
    }
    requests.close();
  };
  await Promise.all(Array.from({ length: concurrency }, work));
}

/** Syncs a repository, and renews its claim while it does. */
async function syncClaimed(deps: SyncDeps, claimed: ClaimedRepository, stopping: AbortSignal): Promise<void> {
  const { db, mirrors, log } = deps;
  using held = holdClaim(db, claimed);
  const signal = AbortSignal.any([stopping, held.lost, AbortSignal.timeout(syncMs)]);
  try {
    const { place, remote } = await update(deps, claimed, signal);
    const kept = await finishSync(db, claimed, { place, remote });
    const unused = kept ? claimed.place : place;
    if (place !== claimed.place && unused !== null) await mirrors.remove(unused);
    if (kept) await deps.onSynced(claimed.name);
  } catch (error) {
    if (stopping.aborted || held.lost.aborted) return; // another replica syncs it when the claim has run out
    const failure = error instanceof FumehoodError ? error.message : (error as Error).message;
    log.warn({ error, repository: claimed.name }, 'a repository could not be synced');
    await failSync(
      db,
      claimed,
      signal.aborted ? `the sync took longer than ${syncMs / 60_000} minutes` : failure,
    );
  }
}

/** Renews a claim until it is disposed of. `lost` is aborted when another replica may have it. */
export function holdClaim(db: Db, claimed: Claim): Disposable & { readonly lost: AbortSignal } {
  const lost = new AbortController();
  const renewing = setInterval(() => {
    void renewClaim(db, claimed)
      .then((renewed) => renewed || lost.abort())
      .catch(() => {}); // the database is away: the claim may run out
  }, claimMs / 4);
  return { lost: lost.signal, [Symbol.dispose]: () => clearInterval(renewing) };
}

/** Brings the mirror of a repository to what its remote is now. Returns where it is. One that cannot be used is made anew; the old one answers until then. */
async function update(
  { vault, mirrors, log }: SyncDeps,
  claimed: ClaimedRepository,
  signal: AbortSignal,
): Promise<{ place: string; remote: RemoteRefs }> {
  const http = remoteHttp(vault, claimed, signal);
  const remote = await listRefs(http);
  if (claimed.place !== null) {
    try {
      const mirror = await mirrors.open(claimed.place);
      if (mirror.packs <= packsMax) {
        await bringIn(http, mirror, remote);
        return { place: claimed.place, remote };
      }
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof FumehoodError && ofRemote.includes(error.code)) throw error;
      log.warn({ error, repository: claimed.name }, 'the mirror of a repository is made anew');
    }
  }
  const { place, mirror } = await mirrors.make();
  try {
    await bringIn(http, mirror, remote);
    return { place, remote };
  } catch (error) {
    await mirrors.remove(place);
    throw error;
  }
}

async function bringIn(http: RemoteHttp, mirror: Mirror, remote: RemoteRefs): Promise<void> {
  const known = new Set(mirror.refs.refs.values());
  const wants = [...new Set(remote.refs.values())].filter((object) => !known.has(object));
  await mirror.update(remote, wants.length === 0 ? null : await fetchHistory(http, wants, [...known]));
}
