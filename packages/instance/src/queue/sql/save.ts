import type { JobLife } from '@glovebox/protocol';
import { hasEnded } from '@glovebox/protocol';
import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';

/** Why a job is not completed. */
export interface Failure {
  /** Stable, e.g. `lease_lost`, `step_failed`. */
  readonly reason: string;
  readonly message: string;
}

/** Stores a life that the lifecycle's table allowed; the caller holds the row. A lease does not outlive `processing`. */
export async function saveLife(tx: Db, id: number, life: JobLife, failure: Failure | null): Promise<void> {
  const leased = life.state === 'processing';
  await sql`
    update jobs set
      state = ${life.state}, resets = ${life.resets}, retries = ${life.retries},
      cancel_requested = ${life.cancelRequested},
      executor = case when ${leased} then executor end,
      token_sha256 = case when ${leased} then token_sha256 end,
      lease_ms = case when ${leased} then lease_ms end,
      lease_expires_at = case when ${leased} then lease_expires_at end,
      process_after = case when ${life.state === 'errored'} then clock_timestamp() + interval '5 seconds' end,
      finished_at = case when ${hasEnded(life.state)} then clock_timestamp() end,
      reason = ${failure?.reason ?? null}, message = ${failure?.message ?? null}
    where id = ${id}
  `.execute(tx);
}
