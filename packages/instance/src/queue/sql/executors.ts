import type { Arch, DequeueRequest, QueueName, Tier } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';

/** An executor is connected when it was heard of within this time. */
const connectedMs = 20_000;

export interface SeenExecutor {
  readonly name: string;
  readonly credentialId: number;
  readonly version: string;
  readonly native: boolean;
  readonly queues: readonly QueueName[];
  /** Null: it did not say this time. */
  readonly tiers: readonly Tier[] | null;
  readonly offer: DequeueRequest['fumehood'] | null;
}

/**
 * Keeps what an executor said of itself. Null when its name belongs to another good credential, or to one that was and whose
 * leases have not ended: their tokens must stay dead.
 */
export async function seeExecutor(db: Db, seen: SeenExecutor): Promise<{ draining: boolean } | null> {
  const { offer } = seen;
  const { rows } = await sql<{ draining: boolean }>`
    insert into executors as known (name, credential_id, version, native, queues, tiers, arch, labels,
                                    cpus, memory_mib, scratch_mib)
    values (${seen.name}, ${seen.credentialId}, ${seen.version}, ${seen.native}, ${seen.queues},
            coalesce(${seen.tiers}::text[], '{}'), ${offer?.arch ?? null}, coalesce(${offer?.labels ?? null}::text[], '{}'),
            ${offer?.total.cpus ?? null}, ${offer?.total.memoryMiB ?? null}, ${offer?.total.scratchMiB ?? null})
    on conflict (name) do update set
      credential_id = excluded.credential_id, version = coalesce(nullif(excluded.version, ''), known.version), native = excluded.native,
      queues = case when excluded.queues = '{}' then known.queues else excluded.queues end,
      tiers = coalesce(${seen.tiers}::text[], known.tiers),
      arch = coalesce(excluded.arch, known.arch),
      labels = coalesce(${offer?.labels ?? null}::text[], known.labels),
      cpus = coalesce(excluded.cpus, known.cpus),
      memory_mib = coalesce(excluded.memory_mib, known.memory_mib),
      scratch_mib = coalesce(excluded.scratch_mib, known.scratch_mib),
      last_seen_at = clock_timestamp()
    where known.credential_id = excluded.credential_id
      or (
        exists (select from executor_credentials c where c.id = known.credential_id and not credential_is_good(c))
        and not exists (select from jobs where executor = known.name and state = 'processing')
      )
    returning draining
  `.execute(db);
  return rows[0] ?? null;
}

/** While it says nothing new, when it was heard of is written this often: not with every heartbeat. */
const seenEveryMs = 4_000;

/** Of the row `known` of an executor, and what it says now, `beat`: the row has to be written. (A clock may have been set back.) */
export const newsOfExecutor = sql<boolean>`(
  known.last_seen_at not between clock_timestamp() - make_interval(secs => ${sql.lit(seenEveryMs / 1000)}) and clock_timestamp()
  or known.native <> beat.native or known.version <> coalesce(nullif(beat.version, ''), known.version)
  or known.queues <> coalesce(nullif(beat.queues, '{}'), known.queues) or known.tiers <> coalesce(beat.tiers, known.tiers)
)`;

/** Keeps executors connected whose requests for work are being held, where nothing else does. It may fail: there is a next time. */
export function touchExecutors(db: Db, names: readonly string[]): void {
  void sql`
    update executors set last_seen_at = clock_timestamp()
    where name = any(${[...names]}::text[])
      and last_seen_at < clock_timestamp() - make_interval(secs => ${seenEveryMs / 1000})
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
  readonly arch: Arch | null;
  readonly labels: string[];
  /** What a job could have when nothing else runs there. Null when it never said. */
  readonly cpus: number | null;
  readonly memory_mib: number | null;
  readonly scratch_mib: number | null;
  /** It is to lease nothing more. */
  readonly draining: boolean;
  readonly last_seen_at: Date;
}

export async function connectedExecutors(db: Db): Promise<ConnectedExecutor[]> {
  const { rows } = await sql<ConnectedExecutor>`
    select name, version, queues, tiers, native, arch, labels, draining, last_seen_at, cpus, memory_mib, scratch_mib
    from executors
    where last_seen_at > clock_timestamp() - make_interval(secs => ${connectedMs / 1000})
    order by name
  `.execute(db);
  return rows;
}
