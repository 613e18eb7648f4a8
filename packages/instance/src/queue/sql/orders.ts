import type { QueueName } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';

export interface Attempt {
  readonly jobId: number;
  readonly queue: QueueName;
  readonly attempt: number;
}

/** What an executor has to know of its jobs and of itself. */
export interface Orders {
  readonly draining: boolean;
  /** The number of its newest push stream. */
  readonly stream: number;
  readonly held: readonly (Attempt & { readonly canceling: boolean })[];
  /** Of the attempts that were asked about, those whose lease ran out. */
  readonly lost: readonly Attempt[];
}

/** What is told at once at most; nobody runs that many VMs. */
const heldMax = 1_000;

/** The orders of an executor as of now, and what became of the attempts in `before`. Undefined: there is no such executor. */
export async function readOrders(
  db: Db,
  executor: string,
  before: readonly Attempt[],
): Promise<Orders | undefined> {
  const { rows } = await sql<Orders>`
    select draining, push_stream as stream, coalesce((
        select jsonb_agg(jsonb_build_object('jobId', id, 'queue', queue, 'attempt', attempt, 'canceling', cancel_requested) order by id)
        from (
          select id, queue, attempt, cancel_requested from jobs
          where executor = name and state = 'processing' order by id limit ${heldMax}
        ) as job
      ), '[]') as held, coalesce((
        select jsonb_agg(jsonb_build_object('jobId', id, 'queue', queue, 'attempt', attempt) order by id)
        from unnest(
            ${before.map((one) => one.jobId)}::bigint[],
            ${before.map((one) => one.queue)}::text[],
            ${before.map((one) => one.attempt)}::int[]
          ) as asked (id, queue, attempt)
        where exists (
          select from attempts where job_id = id and attempts.attempt = asked.attempt and outcome = 'lost'
        )
      ), '[]') as lost
    from executors where name = ${executor}
  `.execute(db);
  return rows[0];
}

/** Counts one more push stream of an executor, and returns its number. */
export async function countStream(db: Db, executor: string): Promise<number> {
  const { rows } = await sql<{ stream: number }>`
    update executors set push_stream = push_stream + 1 where name = ${executor} returning push_stream as stream
  `.execute(db);
  return rows[0]?.stream ?? 0;
}

/** Has an executor lease nothing more, or lease again. False when there is no such executor. */
export async function setDraining(db: Db, executor: string, draining: boolean): Promise<boolean> {
  const { rows } = await sql`
    update executors set draining = ${draining} where name = ${executor} returning name
  `.execute(db);
  return rows.length === 1;
}
