import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';

/** Which rows of a kind are removed. */
export interface Bounds {
  /** Those from before this time. */
  readonly before: Date;
  /** The oldest of those that together have more bytes than this. */
  readonly maxBytes: number;
}

/** Jobs that are removed at once. */
const batch = 500;

/** Removes one job that has ended, with everything that belongs to it. Returns false if there is no such job, or it has not ended. */
export async function removeJob(db: Db, id: number): Promise<boolean> {
  return (await removeJobs(db, [id])) === 1;
}

async function removeJobs(db: Db, ids: readonly number[]): Promise<number> {
  const { rows } = await sql`
    with gone as (
      delete from jobs where id = any(${[...ids]}::bigint[]) and state in ('completed', 'failed', 'canceled') returning id
    ), events as (
      delete from job_events using gone where job_id = gone.id
    ), ended_attempts as (
      delete from attempts using gone where job_id = gone.id
    )
    select id from gone
  `.execute(db);
  return rows.length;
}

/** Removes jobs that ended too long ago, and the oldest ended ones while all together have too many bytes. Returns how many. */
export async function removeOldJobs(db: Db, { before, maxBytes }: Bounds): Promise<number> {
  const { rows } = await sql<{ id: number }>`
    with stored as (
      select job_id, sum(pg_column_size(event) + coalesce(length(data), 0)) as bytes from job_events event group by job_id
      union all
      select job_id, sum(length(data)) from job_input group by job_id
      union all
      select job_id, sum(bytes) from job_artifacts group by job_id
      union all
      select job_id, sum(pg_column_size(receipt)) from job_receipts receipt group by job_id
    ), size as (
      select job_id, sum(bytes) as bytes from stored group by job_id
    ), ended as (
      select id, finished_at,
        sum(coalesce(bytes, 0) + pg_column_size(jobs)) over (order by finished_at desc, id desc) as total
      from jobs left join size on job_id = id where finished_at is not null
    )
    select id from ended where finished_at < ${before} or total > ${maxBytes}::bigint
    order by finished_at limit ${batch}
  `.execute(db);
  if (rows.length === 0) return 0;
  const removed = await removeJobs(
    db,
    rows.map(({ id }) => id),
  );
  return rows.length < batch ? removed : removed + (await removeOldJobs(db, { before, maxBytes }));
}

/** Returns the digests of what jobs have brought back. */
export async function artifactDigests(db: Db): Promise<string[]> {
  const { rows } = await sql<{ digest: string }>`select distinct digest from job_artifacts`.execute(db);
  return rows.map(({ digest }) => digest);
}

/** What jobs need that have not ended. */
export interface Needs {
  /** Digests of image archives and of archives of workspaces, and references to images of registries. */
  readonly images: readonly string[];
  readonly commits: readonly { readonly repository: string; readonly commit: string }[];
}

/** Returns the images and commits of jobs that have not ended. */
export async function readNeeds(db: Db): Promise<Needs> {
  const active = sql`state in ('queued', 'errored', 'processing')`;
  const images = await sql<{ image: string }>`
    select coalesce(payload ->> 'image', payload #>> '{indexer,image}') as image from jobs where ${active}
    union
    select step ->> 'image' from jobs, jsonb_array_elements(coalesce(payload -> 'steps', '[]')) step where ${active}
    union
    select image from indexer_images
    union
    select payload #>> '{workspace,archive}' from jobs where ${active} and payload #>> '{workspace,archive}' is not null
  `.execute(db);
  const commits = await sql<Needs['commits'][number]>`
    select distinct repository, commit from jobs where ${active} and repository <> ''
  `.execute(db);
  return { images: images.rows.map(({ image }) => image), commits: commits.rows };
}
