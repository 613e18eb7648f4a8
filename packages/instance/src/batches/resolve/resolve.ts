import { FumehoodError } from '@fumehood/base';
import { parseBatchSpec } from '@fumehood/batch-spec';
import type { Logger } from 'pino';
import type { Db } from '../../db/connect.ts';
import { transaction } from '../../db/transaction.ts';
import type { Mirrors } from '../../repos/mirrors.ts';
import { wakeBatch } from '../specs.ts';
import { mirrorCatalog } from './catalog.ts';
import {
  type ClaimedSpec,
  claimSeconds,
  claimUnresolved,
  failResolution,
  postponeResolution,
  renewSpecClaim,
  storeWorkspaces,
} from './store.ts';
import { resolveWorkspaces } from './workspaces.ts';

export interface ResolveDeps {
  readonly db: Db;
  readonly mirrors: Mirrors;
  readonly log: Pick<Logger, 'warn'>;
}

/**
 * Finds the workspaces of one batch spec, of which they are not known. Returns false if there is none. When `stopping` is aborted another replica finds them, once the claim has run out.
 */
export async function resolveNext(deps: ResolveDeps, stopping: AbortSignal): Promise<boolean> {
  const { db, mirrors, log } = deps;
  const claimed = await claimUnresolved(db);
  if (claimed === null) return false;
  using held = holdClaim(db, claimed);
  try {
    const spec = parseBatchSpec(claimed.text);
    const workspaces = await resolveWorkspaces(spec, mirrorCatalog(db, mirrors));
    await transaction(db, async (tx) => {
      await storeWorkspaces(tx, claimed, workspaces, spec.steps?.length ?? 0);
      wakeBatch(tx, claimed, true);
    });
  } catch (error) {
    if (stopping.aborted || held.lost.aborted) return true;
    if (!(error instanceof FumehoodError)) {
      // It is no fault of the batch spec, and may pass.
      await postponeResolution(db, claimed);
      throw error;
    }
    log.warn({ error, spec: claimed.publicId }, 'the workspaces of a batch spec could not be found');
    await failResolution(db, claimed, error.message);
    wakeBatch(db, claimed, false);
  }
  return true;
}

/** Renews a claim until it is disposed of. `lost` is aborted when another replica may have it. */
function holdClaim(db: Db, claimed: ClaimedSpec): Disposable & { readonly lost: AbortSignal } {
  const lost = new AbortController();
  const renewing = setInterval(
    () => {
      void renewSpecClaim(db, claimed)
        .then((renewed) => renewed || lost.abort())
        .catch(() => {}); // the database is away: the claim may run out
    },
    (claimSeconds * 1_000) / 4,
  );
  return { lost: lost.signal, [Symbol.dispose]: () => clearInterval(renewing) };
}
