import { type Clock, FumehoodError } from '@fumehood/base';
import type { Logger } from 'pino';
import { reconcilerTopic } from '../../db/topics.ts';
import type { Wakes } from '../../db/wakes.ts';
import { type BranchDeps, publishBranch } from './branch.ts';
import {
  type ClaimedChangeset,
  ClaimLost,
  claimChangeset,
  claimMs,
  failChangeset,
  finishChangeset,
  renewChangesetClaim,
} from './claims.ts';
import { changeOnHost, type HostDeps } from './host.ts';
import { retryDelay } from './retry.ts';

/** How often a replica looks for changesets that are due, milliseconds. */
const pollMs = 5_000;
/** Changesets of this replica at the same time. */
const concurrency = 2;
/** How long one changeset may take, milliseconds. */
const changesetMs = 1_800_000;

export interface ReconcileDeps extends BranchDeps, HostDeps {
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Brings changesets to what they shall be, until `signal` is aborted. Any number of replicas may do this at once, and each may die at any moment: every step can be
 * repeated.
 */
export async function reconcileChangesets(
  deps: ReconcileDeps,
  wakes: Wakes,
  signal: AbortSignal,
): Promise<void> {
  const { db, clock, log } = deps;
  const work = async () => {
    const requests = wakes.subscribe(reconcilerTopic);
    while (!signal.aborted) {
      try {
        const claimed = await claimChangeset(db, clock.now());
        if (claimed === null) await requests.next(pollMs, signal);
        else if (claimed !== 'not its turn') await reconcileChangeset(deps, claimed, signal);
      } catch (error) {
        log.error({ error }, 'looking for changesets to reconcile failed; the next round tries again');
        await clock.sleep(pollMs, signal).catch(() => {});
      }
    }
    requests.close();
  };
  await Promise.all(Array.from({ length: concurrency }, work));
}

/** Does with a changeset what was planned when it was claimed, and stores how that has ended. */
export async function reconcileChangeset(
  deps: ReconcileDeps,
  claimed: ClaimedChangeset,
  stopping: AbortSignal,
): Promise<void> {
  const { db, clock, log } = deps;
  const lost = new AbortController();
  const renewing = setInterval(() => {
    void renewChangesetClaim(db, claimed)
      .then((renewed) => renewed || lost.abort())
      .catch(() => {}); // the database is away: the claim may run out
  }, claimMs / 4);
  const signal = AbortSignal.any([stopping, lost.signal, AbortSignal.timeout(changesetMs)]);
  try {
    let { fork } = claimed;
    for (const operation of claimed.operations) {
      signal.throwIfAborted();
      if (operation === 'push') fork = await publishBranch(deps, claimed, signal);
      else if (operation !== 'nothing' && operation !== 'archive' && operation !== 'detach')
        await changeOnHost(deps, { ...claimed, fork }, operation);
    }
    await finishChangeset(db, claimed);
  } catch (error) {
    if (stopping.aborted || lost.signal.aborted || error instanceof ClaimLost) return; // another replica goes on when the claim has run out
    const { id, repository, headRef } = claimed;
    log.warn({ error, changeset: id, repository, headRef }, 'a changeset could not be reconciled');
    await failChangeset(db, claimed, failureOf(error), retryDelay(error, claimed.failures, clock.now()));
  } finally {
    clearInterval(renewing);
  }
}

/** Returns what has happened, and what to do. */
function failureOf(error: unknown): string {
  const { message } = error as Error;
  if (error instanceof FumehoodError) return [message, error.remedy].filter(Boolean).join('. ');
  return `${message}. Wait: the instance tries again by itself. If this lasts, look at its log.`;
}
