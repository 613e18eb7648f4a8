import type { Arch, DequeueRequest, EgressMode, QueueName, Tier } from '@fumehood/protocol';
import { type RawBuilder, sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import { executorNameInUse, forbidden } from '../../errors.ts';
import { leaseTimes } from '../kind.ts';
import { isPausing } from './losses.ts';

/** An executor that was heard of within this time is connected, milliseconds. */
const connectedMs = 20_000;

/** What an executor reports of itself with a request. */
export interface ExecutorReport {
  readonly name: string;
  readonly credentialId: number;
  readonly version: string;
  readonly native: boolean;
  readonly queues: readonly QueueName[];
  /** Null: this request does not say. */
  readonly tiers: readonly Tier[] | null;
  readonly offer: DequeueRequest['fumehood'] | null;
  /** The version of the native protocol, and the modes of a policy that it can hold a job to. Null: the request is no dequeue. */
  readonly network: { readonly protocol: number; readonly egress: readonly EgressMode[] } | null;
  /** Where the executor runs. Null: it does not say. */
  readonly machine: string | null;
  /** What a heartbeat says besides; null: the request is none. */
  readonly beat: {
    /** Why the executor leases nothing by itself; null: it leases. */ readonly trouble: string | null;
  } | null;
}

/**
 * True when the row `known` of an executor is of the machine that `machine` names, or nobody was heard of under its name for as long
 * as a lease lasts. Otherwise two executors would use one name, and each would end the other's jobs.
 */
export const isSameMachine = (machine: RawBuilder<unknown>) => sql<boolean>`(
  coalesce(known.machine = ${machine}::text, true)
  or known.last_seen_at not between clock_timestamp() - make_interval(secs => ${sql.lit(leaseTimes.native / 1000)}) and clock_timestamp()
)`;

/**
 * Stores what an executor reports of itself. A name changes hands only when its credential is no longer valid and all leases under it
 * have ended: their tokens must stay dead. Errors: `forbidden` when the name belongs to another credential, `executor_name_in_use`
 * when another machine uses it.
 */
export async function recordExecutor(db: Db, report: ExecutorReport): Promise<{ draining: boolean }> {
  const { offer } = report;
  const { rows } = await sql<{ draining: boolean }>`
    insert into executors as known (name, credential_id, version, native, queues, tiers, arch, labels,
                                    cpus, memory_mib, scratch_mib, protocol, egress, machine, trouble)
    values (${report.name}, ${report.credentialId}, ${report.version}, ${report.native}, ${report.queues},
            coalesce(${report.tiers}::text[], '{}'), ${offer?.arch ?? null}, coalesce(${offer?.labels ?? null}::text[], '{}'),
            ${offer?.total.cpus ?? null}, ${offer?.total.memoryMiB ?? null}, ${offer?.total.scratchMiB ?? null},
            ${report.network?.protocol ?? null}, ${report.network?.egress ?? null}::text[], ${report.machine}, ${report.beat?.trouble ?? null})
    on conflict (name) do update set
      credential_id = excluded.credential_id, version = coalesce(nullif(excluded.version, ''), known.version), native = excluded.native,
      queues = case when excluded.queues = '{}' then known.queues else excluded.queues end,
      tiers = coalesce(${report.tiers}::text[], known.tiers),
      arch = coalesce(excluded.arch, known.arch),
      labels = coalesce(${offer?.labels ?? null}::text[], known.labels),
      cpus = coalesce(excluded.cpus, known.cpus),
      memory_mib = coalesce(excluded.memory_mib, known.memory_mib),
      scratch_mib = coalesce(excluded.scratch_mib, known.scratch_mib),
      protocol = coalesce(excluded.protocol, known.protocol), egress = coalesce(excluded.egress, known.egress),
      machine = coalesce(excluded.machine, known.machine), must_beat = known.must_beat and not ${report.beat !== null}::boolean,
      trouble = case when ${report.beat !== null}::boolean then excluded.trouble else known.trouble end,
      last_seen_at = clock_timestamp()
    where (known.credential_id = excluded.credential_id and ${isSameMachine(sql`excluded.machine`)})
      or (
        known.credential_id <> excluded.credential_id and exists (select from executor_credentials c where c.id = known.credential_id and not credential_is_good(c))
        and not exists (select from jobs where executor = known.name and state = 'processing')
      )
    returning draining
  `.execute(db);
  if (rows[0]) return rows[0];
  const owner = await sql`
    select from executors where name = ${report.name} and credential_id = ${report.credentialId}
  `.execute(db);
  throw owner.rows.length > 0
    ? executorNameInUse(report.name)
    : forbidden('another credential uses this executor name');
}

/** The row of an executor whose report does not change is written this often, not with every heartbeat. */
const seenEveryMs = 4_000;

/**
 * True when the row `known` of an executor has to be written for the report `report`: something changed, or it was last written
 * more than `seenEveryMs` ago, or in the future (the clock was set back).
 */
export const executorChanged = sql<boolean>`(
  known.last_seen_at not between clock_timestamp() - make_interval(secs => ${sql.lit(seenEveryMs / 1000)}) and clock_timestamp()
  or known.must_beat or known.trouble is distinct from report.trouble or coalesce(report.machine <> known.machine, report.machine is not null) or known.native <> report.native or known.version <> coalesce(nullif(report.version, ''), known.version)
  or known.queues <> coalesce(nullif(report.queues, '{}'), known.queues) or known.tiers <> coalesce(report.tiers, known.tiers)
)`;

/**
 * Marks executors as seen now. They wait in a long poll and send nothing meanwhile. An error is ignored: the call is repeated.
 */
export function touchExecutors(db: Db, names: readonly string[]): void {
  void sql`
    update executors set last_seen_at = clock_timestamp()
    where name = any(${[...names]}::text[])
      and last_seen_at not between clock_timestamp() - make_interval(secs => ${seenEveryMs / 1000}) and clock_timestamp()
  `
    .execute(db)
    .catch(() => {});
}

export interface ConnectedExecutor {
  readonly name: string;
  readonly version: string;
  readonly queues: QueueName[];
  readonly tiers: Tier[];
  readonly native: boolean;
  /** The version of the native protocol. Null: it has not asked for a job yet. */
  readonly protocol: number | null;
  /** The modes of a policy that it can hold a job to. Null as above. */
  readonly egress: EgressMode[] | null;
  readonly arch: Arch | null;
  readonly labels: string[];
  /** What a job could have if nothing else ran there. Null: never reported. */
  readonly cpus: number | null;
  readonly memory_mib: number | null;
  readonly scratch_mib: number | null;
  /** An admin has told it to lease no more jobs. */
  readonly draining: boolean;
  /** It has lost a lease lately, and gets no job just now. */
  readonly pausing: boolean;
  /** Why it leases nothing by itself: jobs failed because of its machine. Null: it leases. */
  readonly trouble: string | null;
  readonly last_seen_at: Date;
}

/** Returns the executors that were heard of within the last 20 s, by name. */
export async function connectedExecutors(db: Db): Promise<ConnectedExecutor[]> {
  const { rows } = await sql<ConnectedExecutor>`
    select name, version, queues, tiers, native, protocol, egress, arch, labels, draining, ${isPausing} as pausing, trouble, last_seen_at, cpus, memory_mib, scratch_mib
    from executors
    -- A moment that is ahead is from before the clock was set back.
    where last_seen_at between clock_timestamp() - make_interval(secs => ${connectedMs / 1000}) and clock_timestamp() + interval '1 second'
    order by name
  `.execute(db);
  return rows;
}

/** One attempt of a job. */
export interface AttemptRef {
  readonly jobId: number;
  readonly queue: QueueName;
  readonly attempt: number;
}

/** What an executor has to learn of its jobs and of itself. */
export interface ExecutorState {
  readonly draining: boolean;
  /** The number of its newest push stream. Only that one is served. */
  readonly stream: number;
  readonly held: readonly (AttemptRef & { readonly canceling: boolean })[];
  /** The attempts among those asked about whose lease ran out. */
  readonly lost: readonly AttemptRef[];
}

/** The most jobs that are listed. No executor runs that many VMs. */
const heldMax = 1_000;

/**
 * Returns the state of an executor, with those of the attempts `asked` that were lost. Returns undefined if there is no such
 * executor.
 */
export async function readExecutorState(
  db: Db,
  executor: string,
  asked: readonly AttemptRef[],
): Promise<ExecutorState | undefined> {
  const { rows } = await sql<ExecutorState>`
    select draining, push_stream as stream, coalesce((
        select jsonb_agg(jsonb_build_object('jobId', id, 'queue', queue, 'attempt', attempt, 'canceling', cancel_requested) order by id)
        from (
          select id, queue, attempt, cancel_requested from jobs
          where executor = name and state = 'processing' order by id limit ${heldMax}
        ) as job
      ), '[]') as held, coalesce((
        select jsonb_agg(jsonb_build_object('jobId', id, 'queue', queue, 'attempt', attempt) order by id)
        from unnest(
            ${asked.map((one) => one.jobId)}::bigint[],
            ${asked.map((one) => one.queue)}::text[],
            ${asked.map((one) => one.attempt)}::int[]
          ) as given (id, queue, attempt)
        where exists (
          select from attempts where job_id = id and attempts.attempt = given.attempt and outcome = 'lost'
        )
      ), '[]') as lost
    from executors where name = ${executor}
  `.execute(db);
  return rows[0];
}

/** Opens a push stream of an executor: returns its number, which makes it the newest one. */
export async function openPushStream(db: Db, executor: string): Promise<number> {
  const { rows } = await sql<{ stream: number }>`
    update executors set push_stream = push_stream + 1 where name = ${executor} returning push_stream as stream
  `.execute(db);
  return rows[0]?.stream ?? 0;
}

/** Sets whether an executor may lease jobs. Returns false if there is no such executor. */
export async function setDraining(db: Db, executor: string, draining: boolean): Promise<boolean> {
  const { rows } = await sql`
    update executors set draining = ${draining} where name = ${executor} returning name
  `.execute(db);
  return rows.length === 1;
}
