import { hasEnded } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';
import { transaction, wake } from '../db/transaction.ts';
import { inputTopic } from '../db/topics.ts';
import { inputEnded, inputTooBig, jobEnded, jobNotFound, noInput, offsetGap } from '../errors.ts';
import { lockJob } from '../queue/sql/fence.ts';

/** The most bytes of input of a job. All of it is kept until the job is removed, because another attempt reads it again. */
const maxInputBytes = 256 * 2 ** 20;
/** The most bytes of one answer. */
const maxAnswerBytes = 2 ** 20;

/**
 * Appends bytes to a job's stdin at an offset, and ends the stdin after them if `end` is set. Bytes that arrived before are
 * ignored. Returns the next offset. Errors: `job_not_found`, `job_ended`, `no_input`, `input_ended`, `input_too_big`,
 * `offset_gap`.
 */
export async function appendInput(
  db: Db,
  id: number,
  offset: number,
  data: Buffer,
  end: boolean,
): Promise<number> {
  return await transaction(db, async (tx) => {
    const job = await lockJob(tx, id);
    if (!job) throw jobNotFound(id);
    if (!job.takes_input) throw noInput(id);
    if (offset > job.input_bytes) throw offsetGap(job.input_bytes, offset);
    const fresh = data.subarray(job.input_bytes - offset);
    if (fresh.length === 0 && (job.input_ended || !end)) return job.input_bytes;
    if (hasEnded(job.state)) throw jobEnded(id, job.state);
    if (job.input_ended) throw inputEnded(id);
    const next = job.input_bytes + fresh.length;
    if (next > maxInputBytes) throw inputTooBig(maxInputBytes);
    if (fresh.length > 0)
      await sql`insert into job_input values (${id}, ${job.input_bytes}, ${fresh})`.execute(tx);
    await sql`update jobs set input_bytes = ${next}, input_ended = ${end} where id = ${id}`.execute(tx);
    wake(tx, inputTopic(id));
    return next;
  });
}

/** A part of a job's stdin. */
export interface InputPart {
  readonly data: Buffer;
  /** No bytes follow. */
  readonly end: boolean;
}

/** Returns a job's stdin from an offset, at most 1 MiB; empty if there are no bytes yet. Errors: `job_not_found`. */
export async function readInput(db: Db, id: number, offset: number): Promise<InputPart> {
  const { rows } = await sql<{ data: Buffer | null; input_bytes: number; input_ended: boolean }>`
    select input_bytes, input_ended, (
      select substring(data from (${offset}::bigint - start_offset)::int + 1 for ${maxAnswerBytes}::int)
      from job_input where job_id = jobs.id and start_offset <= ${offset}::bigint
      order by start_offset desc limit 1
    ) as data
    from jobs where id = ${id}
  `.execute(db);
  const row = rows[0];
  if (!row) throw jobNotFound(id);
  const data = row.data ?? Buffer.alloc(0);
  return { data, end: row.input_ended && offset + data.length >= row.input_bytes };
}
