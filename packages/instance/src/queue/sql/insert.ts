import type { QueueName } from '@glovebox/protocol';
import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import type { NewJob } from '../kind.ts';

/** A new job, queued; its id. */
export async function insertJob(tx: Db, queue: QueueName, job: NewJob): Promise<number> {
  const { rows } = await sql<{ id: number }>`
    insert into jobs (queue, payload, repository, commit, accept, cpus, memory_mib, scratch_mib,
                      max_resets, max_retries, takes_input, input_ended)
    values (${queue}, ${JSON.stringify(job.payload)}::jsonb, ${job.repository}, ${job.commit}, ${job.accept},
            ${job.cpus}, ${job.memoryMiB}, ${job.scratchMiB}, ${job.maxResets}, ${job.maxRetries}, ${job.input}, ${!job.input})
    returning id
  `.execute(tx);
  return (rows[0] as { id: number }).id;
}
