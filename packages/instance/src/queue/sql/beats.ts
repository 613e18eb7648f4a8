import { type RawBuilder, sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import { newsOfExecutor, type SeenExecutor } from './executors.ts';
import { leaseIsRenewable } from './fence.ts';
import type { Held, Renewed } from './renew.ts';

/** A heartbeat: what an executor says of itself, and of the jobs that it runs. */
export interface Beat {
  readonly seen: SeenExecutor;
  readonly held: readonly Held[];
}

export interface Beaten {
  readonly draining: boolean;
  readonly renewed: readonly Renewed[];
  /** A job of these queues that is to be canceled was not named. */
  readonly canceling: boolean;
}

/** By `n`, the place of a heartbeat. */
interface Found {
  readonly known: readonly { n: number; draining: boolean; news: boolean; canceling: boolean }[];
  readonly noted: readonly number[];
  readonly locked: readonly { n: number; id: number; busy: boolean }[];
  readonly renewed: readonly Renewed[];
}

/**
 * Many heartbeats in one statement and one commit, as `seeExecutor` and `renewLeases` do for one. It waits for no row, so that
 * nobody waits for another's: what somebody else holds, an executor that is new, and a name of another credential are left to
 * those two. Null: it was left, though part of it may have been done. What is known of an executor is written when it changed,
 * and else every few seconds.
 */
export async function renewMany(db: Db, beats: readonly Beat[]): Promise<(Beaten | null)[]> {
  const { known, noted, locked, renewed } = await ask(db, beats);
  const answers: (Beaten | null)[] = beats.map(() => null);
  const left = new Set(locked.filter(({ busy }) => busy).map(({ n }) => n));
  const written = new Set(noted);
  const jobs = new Map(renewed.map((job) => [job.id, job]));
  const own = Map.groupBy(locked, ({ n }) => n);
  for (const { n, draining, news, canceling } of known) {
    if (left.has(n) || (news && !written.has(n))) continue;
    const ids = [...new Set(own.get(n)?.map(({ id }) => id))];
    answers[n] = { draining, canceling, renewed: ids.flatMap((id) => jobs.get(id) ?? []) };
  }
  return answers;
}

// The rows are put together above: PostgreSQL takes each of these lists for a short one, and would look through the whole of one
// for every row of another.
async function ask(db: Db, beats: readonly Beat[]): Promise<Found> {
  const of = <T>(pick: (seen: SeenExecutor) => T) => beats.map(({ seen }) => pick(seen));
  const held = beats.flatMap(({ seen, held }, n) => held.map((one) => ({ n, seen, ...one })));
  const { rows } = await sql<Found>`
    with beat as (
      select (n - 1)::int as n, name, credential_id, version, native, queues::text[], tiers::text[]
      from unnest(
          ${of(({ name }) => name)}::text[], ${of(({ credentialId }) => credentialId)}::bigint[],
          ${of(({ version }) => version)}::text[], ${of(({ native }) => native)}::boolean[],
          ${of(({ queues }) => arrayLiteral(queues))}::text[],
          ${of(({ tiers }) => tiers && arrayLiteral(tiers))}::text[]
        ) with ordinality as beat (name, credential_id, version, native, queues, tiers, n)
    ), held as (
      select * from unnest(
          ${held.map(({ n }) => n)}::int[], ${held.map(({ seen }) => seen.name)}::text[],
          ${held.map(({ seen }) => seen.credentialId)}::bigint[],
          ${held.map(({ jobId }) => jobId)}::bigint[], ${held.map(({ attempt }) => attempt)}::int[]
        ) as held (n, executor, credential_id, id, attempt)
    ), known as (
      select beat.*, draining, ${newsOfExecutor} as news
      from beat join executors known using (name, credential_id)
    ), free as (
      select known.* from known cross join lateral (
        select from executors where name = known.name and credential_id = known.credential_id
        for no key update skip locked
      ) as free
      where news
    ), noted as (
      update executors set
        version = coalesce(nullif(free.version, ''), executors.version), native = free.native,
        queues = case when free.queues = '{}' then executors.queues else free.queues end,
        tiers = coalesce(free.tiers, executors.tiers), last_seen_at = clock_timestamp()
      from free where executors.name = free.name
    ), locked as (
      select held.n, job.id, row.id is null as busy
      from held
      cross join lateral (select ${isHeld}) as job
      left join lateral (select ${isHeld} for no key update of jobs skip locked) as row on true
    ), renewed as (
      update jobs
      set lease_expires_at = statement_timestamp() + make_interval(secs => lease_ms / 1000.0)
      from locked where jobs.id = locked.id and not busy
      returning jobs.id, jobs.queue, jobs.cancel_requested
    )
    select ${list(sql`
        select n, draining, news, exists (
          select from jobs where executor = known.name and state = 'processing' and cancel_requested
            and queue = any(known.queues) and not exists (select from held where held.n = known.n and held.id = jobs.id)
        ) as canceling
        from known`)} as known,
      array(select n from free) as noted, ${list(sql`select * from locked`)} as locked,
      ${list(sql`select * from renewed`)} as renewed
  `.execute(db);
  return rows[0] as Found;
}

/** What `held` names of `jobs`, if it is its executor's, and that one is its credential's. */
const isHeld = sql`
  jobs.id from jobs join executors on executors.name = jobs.executor
  where jobs.id = held.id and jobs.executor = held.executor and executors.credential_id = held.credential_id
    and jobs.attempt = coalesce(held.attempt, jobs.attempt) and ${leaseIsRenewable}`;

const list = (rows: RawBuilder<unknown>) =>
  sql`(select coalesce(jsonb_agg(to_jsonb(one)), '[]') from (${rows}) as one)`;

/** PostgreSQL has no list of lists of different lengths. The names are the protocol's: none needs quotes. */
const arrayLiteral = (names: readonly string[]) => `{${names.join(',')}}`;
