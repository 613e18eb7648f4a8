import type { QueueName } from '@fumehood/protocol';
import { type RawBuilder, sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import { executorChanged, type ExecutorReport, isSameMachine } from './executors.ts';
import { leaseIsRenewable } from './fence.ts';

/** A heartbeat: what an executor reports of itself, and the jobs that it runs. */
export interface Heartbeat {
  readonly report: ExecutorReport;
  readonly held: readonly HeldJob[];
}

/** A job that an executor says it runs. Without an attempt (upstream's executors), the job's current one is meant. */
export interface HeldJob {
  readonly jobId: number;
  readonly attempt: number | null;
}

export interface RenewedLease {
  readonly id: number;
  readonly queue: QueueName;
  readonly cancel_requested: boolean;
}

interface Renewal {
  readonly renewed: readonly RenewedLease[];
  /** The executor has a job in these queues whose cancel was requested and which the heartbeat does not name. */
  readonly canceling: boolean;
}

export interface HeartbeatResult extends Renewal {
  readonly draining: boolean;
}

/**
 * Renews the leases that this executor still has. A lease that ran out is not renewed: the executor has killed its VM by its own
 * clock. The rows are locked in the order of their ids, or two heartbeats that name the same jobs could deadlock.
 */
export async function renewLeases(
  db: Db,
  executor: string,
  queues: readonly QueueName[],
  held: readonly HeldJob[],
): Promise<Renewal> {
  const { rows } = await sql<{ renewed: RenewedLease[] | null; canceling: boolean }>`
    with held as (
      select * from unnest(${held.map((h) => h.jobId)}::bigint[], ${held.map((h) => h.attempt)}::int[])
        as held (id, attempt)
    ), locked as (
      select jobs.id from jobs join held on jobs.id = held.id
      where jobs.executor = ${executor} and jobs.attempt = coalesce(held.attempt, jobs.attempt) and ${leaseIsRenewable}
      order by jobs.id
      for no key update of jobs
    ), renewed as (
      update jobs set lease_expires_at = clock_timestamp() + make_interval(secs => jobs.lease_ms / 1000.0)
      from locked where jobs.id = locked.id
      returning jobs.id, jobs.queue, jobs.cancel_requested
    )
    select (select jsonb_agg(to_jsonb(renewed)) from renewed) as renewed,
      exists (
        select from jobs where executor = ${executor} and state = 'processing' and cancel_requested
          and queue = any(${queues}::text[]) and not exists (select from held where held.id = jobs.id)
      ) as canceling
  `.execute(db);
  const { renewed, canceling } = rows[0] as { renewed: RenewedLease[] | null; canceling: boolean };
  return { renewed: renewed ?? [], canceling };
}

/** The rows of the statement. `n` is the index of a heartbeat. */
interface Found {
  /** The heartbeats of executors that are registered under the same credential. */
  readonly known: readonly { n: number; draining: boolean; changed: boolean; canceling: boolean }[];
  /** The heartbeats whose executor was updated. */
  readonly updated: readonly number[];
  /** The renewable leases that the heartbeats name; busy: another transaction holds the row. */
  readonly locked: readonly { n: number; id: number; busy: boolean }[];
  readonly renewed: readonly RenewedLease[];
}

/**
 * Does for many heartbeats, in one statement and one commit, what `recordExecutor` and `renewLeases` do for one. It waits for
 * no row lock, so that one heartbeat never delays another. The answer is null where those two have to do it instead, though
 * part of it may have been done: another transaction holds a row, the executor is new, or its name belongs to another
 * credential or machine. The row of an executor is written when its report changed, and otherwise every few seconds.
 */
export async function renewMany(
  db: Db,
  heartbeats: readonly Heartbeat[],
): Promise<(HeartbeatResult | null)[]> {
  const { known, updated, locked, renewed } = await runRenewal(db, heartbeats);
  const results: (HeartbeatResult | null)[] = heartbeats.map(() => null);
  const busy = new Set(locked.filter((lease) => lease.busy).map(({ n }) => n));
  const written = new Set(updated);
  const leases = new Map(renewed.map((lease) => [lease.id, lease]));
  const lockedOf = Map.groupBy(locked, ({ n }) => n);
  for (const { n, draining, changed, canceling } of known) {
    if (busy.has(n) || (changed && !written.has(n))) continue;
    const ids = [...new Set(lockedOf.get(n)?.map(({ id }) => id))];
    results[n] = { draining, canceling, renewed: ids.flatMap((id) => leases.get(id) ?? []) };
  }
  return results;
}

// The rows are joined in TypeScript: the planner takes each of these lists for a short one, and would scan one of them for each
// row of another.
async function runRenewal(db: Db, heartbeats: readonly Heartbeat[]): Promise<Found> {
  const column = <T>(pick: (report: ExecutorReport) => T) => heartbeats.map(({ report }) => pick(report));
  const held = heartbeats.flatMap(({ report, held }, n) => held.map((job) => ({ n, report, ...job })));
  const { rows } = await sql<Found>`
    with report as (
      select (n - 1)::int as n, name, credential_id, version, native, queues::text[], tiers::text[], machine, trouble
      from unnest(
          ${column(({ name }) => name)}::text[], ${column(({ credentialId }) => credentialId)}::bigint[],
          ${column(({ version }) => version)}::text[], ${column(({ native }) => native)}::boolean[],
          ${column(({ queues }) => arrayLiteral(queues))}::text[],
          ${column(({ tiers }) => tiers && arrayLiteral(tiers))}::text[], ${column(({ machine }) => machine)}::text[],
          ${column(({ beat }) => beat?.trouble ?? null)}::text[]
        ) with ordinality as report (name, credential_id, version, native, queues, tiers, machine, trouble, n)
    ), held as (
      select * from unnest(
          ${held.map(({ n }) => n)}::int[], ${held.map(({ report }) => report.name)}::text[],
          ${held.map(({ report }) => report.credentialId)}::bigint[],
          ${held.map(({ jobId }) => jobId)}::bigint[], ${held.map(({ attempt }) => attempt)}::int[]
        ) as held (n, executor, credential_id, id, attempt)
    ), known as (
      select report.*, draining, ${executorChanged} as changed
      from report join executors known using (name, credential_id)
      where ${isSameMachine(sql`report.machine`)}
    ), locked_executor as (
      select known.* from known cross join lateral (
        select from executors where name = known.name and credential_id = known.credential_id
        for no key update skip locked
      ) as free
      where changed
    ), updated as (
      update executors set
        version = coalesce(nullif(reported.version, ''), executors.version), native = reported.native,
        queues = case when reported.queues = '{}' then executors.queues else reported.queues end,
        tiers = coalesce(reported.tiers, executors.tiers),
        machine = coalesce(reported.machine, executors.machine), trouble = reported.trouble, must_beat = false,
        last_seen_at = clock_timestamp()
      from locked_executor as reported where executors.name = reported.name
    ), locked as (
      select held.n, job.id, row.id is null as busy
      from held
      cross join lateral (select ${heldLease}) as job
      left join lateral (select ${heldLease} for no key update of jobs skip locked) as row on true
    ), renewed as (
      update jobs
      set lease_expires_at = statement_timestamp() + make_interval(secs => lease_ms / 1000.0)
      from locked where jobs.id = locked.id and not busy
      returning jobs.id, jobs.queue, jobs.cancel_requested
    )
    select ${jsonList(sql`
        select n, draining, changed, exists (
          select from jobs where executor = known.name and state = 'processing' and cancel_requested
            and queue = any(known.queues) and not exists (select from held where held.n = known.n and held.id = jobs.id)
        ) as canceling
        from known`)} as known,
      array(select n from locked_executor) as updated, ${jsonList(sql`select * from locked`)} as locked,
      ${jsonList(sql`select * from renewed`)} as renewed
  `.execute(db);
  return rows[0] as Found;
}

/** The job of the row `held`, if its lease is renewable and belongs to that executor under that credential. */
const heldLease = sql`
  jobs.id from jobs join executors on executors.name = jobs.executor
  where jobs.id = held.id and jobs.executor = held.executor and executors.credential_id = held.credential_id
    and jobs.attempt = coalesce(held.attempt, jobs.attempt) and ${leaseIsRenewable}`;

const jsonList = (rows: RawBuilder<unknown>) =>
  sql`(select coalesce(jsonb_agg(to_jsonb(entry)), '[]') from (${rows}) as entry)`;

/** PostgreSQL has no array of arrays of different lengths. The names are the protocol's: none needs quotes. */
const arrayLiteral = (names: readonly string[]) => `{${names.join(',')}}`;
