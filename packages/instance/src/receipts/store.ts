import {
  type JobNetwork,
  type JobReceipt,
  receiptsKept,
  type receiptsRequestSchema,
} from '@fumehood/protocol';
import { sql } from 'kysely';
import type { z } from 'zod';
import type { Db } from '../db/connect.ts';
import { attemptNotFound } from '../errors.ts';
import type { JobLease } from '../queue/job.ts';
import { fenced } from '../queue/queue.ts';
import { leaseTakesLog } from '../queue/sql/fence.ts';

type Batch = Pick<z.output<typeof receiptsRequestSchema>, 'policy' | 'receipts' | 'ended'>;

/**
 * Stores receipts of an attempt: of all, the first `receiptsKept` and as many of the last. One that has arrived before stays as it is. As the log,
 * they are accepted of a canceled job until its VM is gone. Errors: `lease_lost`.
 */
export async function storeReceipts(
  db: Db,
  lease: JobLease,
  { policy, receipts, ended }: Batch,
): Promise<void> {
  const total = Math.max(0, ...receipts.map(({ seq }) => seq + 1));
  await fenced(
    db,
    lease,
    async (tx, { id, attempt }) => {
      const { rows } = await sql<{ total: number }>`
        insert into job_networks (job_id, attempt, policy, total, ended)
        values (${id}, ${attempt}, ${JSON.stringify(policy)}::jsonb, ${total}, ${ended})
        on conflict (job_id, attempt) do update set policy = excluded.policy,
          total = greatest(job_networks.total, excluded.total), ended = job_networks.ended or excluded.ended
        returning job_networks.total
      `.execute(tx);
      const from = (rows[0]?.total ?? 0) - receiptsKept;
      const kept = receipts.filter(({ seq }) => seq < receiptsKept || seq >= from);
      await sql`
        insert into job_receipts (job_id, attempt, seq, receipt)
        select ${id}, ${attempt}, (receipt ->> 'seq')::bigint, receipt
        from jsonb_array_elements(${JSON.stringify(kept)}::jsonb) as receipt
        on conflict (job_id, attempt, seq) do nothing
      `.execute(tx);
      await sql`
        delete from job_receipts
        where job_id = ${id} and attempt = ${attempt} and seq >= ${receiptsKept} and seq < ${from}::bigint
      `.execute(tx);
    },
    leaseTakesLog,
  );
}

/** Returns what an attempt of a job asked of the network; `attempt` null: the last one. Errors: `attempt_not_found`. */
export async function readNetwork(
  db: Db,
  job: { readonly id: number; readonly attempt: number },
  wanted: number | null,
): Promise<JobNetwork> {
  const attempt = wanted ?? job.attempt;
  if (attempt > job.attempt) throw attemptNotFound(job.id, attempt);
  const { rows } = await sql<Pick<JobNetwork, 'policy' | 'total' | 'ended'> & { receipts: JobReceipt[] }>`
    select policy, total, ended, coalesce((
      select jsonb_agg(receipt order by seq) from job_receipts receipts
      where receipts.job_id = networks.job_id and receipts.attempt = networks.attempt
    ), '[]') as receipts
    from job_networks networks where job_id = ${job.id} and attempt = ${attempt}
  `.execute(db);
  const { policy = null, total = 0, ended = false, receipts = [] } = rows[0] ?? {};
  return { attempt, policy, receipts, total, dropped: total - receipts.length, ended };
}
