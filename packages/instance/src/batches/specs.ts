import { checkBatchSpec, parseBatchSpec } from '@fumehood/batch-spec';
import type { BatchOptions, BatchSpecRecord } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Person } from '../auth/people.ts';
import type { Db } from '../db/connect.ts';
import { batchTopic, batchWorkTopic } from '../db/topics.ts';
import { wake } from '../db/transaction.ts';
import { requireNamespace, visibleNamespaces } from '../organisations/namespaces.ts';
import { batchSpecNotFound } from './errors.ts';
import { type CountedState, stateOfBatchSpec } from './state.ts';

/** A new batch spec. */
export interface NewBatchSpec {
  /** YAML or JSON. */
  readonly text: string;
  readonly namespace: string;
  /** `server`: the instance finds and runs its workspaces. */
  readonly origin: 'server' | 'client';
  readonly allowIgnored: boolean;
  readonly allowUnsupported: boolean;
  readonly noCache: boolean;
  readonly options: BatchOptions;
  /** Null: it is for the batch change of its name, which need not be there yet. */
  readonly batchChangeId: number | null;
}

/** How a batch spec is known to the database, and to clients. */
export interface BatchSpecId {
  readonly id: number;
  readonly publicId: string;
}

/** Stores a batch spec, and has its workspaces found. Errors: `batch_spec_invalid`, with all places; `namespace_not_found`. */
export async function createBatchSpec(
  { db }: { readonly db: Db },
  person: Person,
  { text, namespace, origin, batchChangeId, ...spec }: NewBatchSpec,
): Promise<BatchSpecId> {
  // What a client has run is no longer to be asked whether it can run.
  const { name } = origin === 'client' ? parseBatchSpec(text) : checkBatchSpec(text);
  await requireNamespace(db, person, namespace);
  const { rows } = await sql<BatchSpecId>`
    insert into batch_specs (creator, namespace, name, text, origin, allow_ignored, allow_unsupported, no_cache, options,
      batch_change_id, resolution, built_at)
    values (${person.name}, ${namespace}, ${name}, ${text}, ${origin}, ${spec.allowIgnored}, ${spec.allowUnsupported},
      ${spec.noCache}, ${JSON.stringify(spec.options)}::jsonb, ${batchChangeId},
      case when ${origin} = 'client' then 'completed' else 'queued' end,
      case when ${origin} = 'client' then clock_timestamp() end)
    returning id, public_id as "publicId"
  `.execute(db);
  wake(db, batchWorkTopic);
  return rows[0] as BatchSpecId;
}

/** Returns the numbers of a batch spec that a person may see. Errors: `batch_spec_not_found`. */
export async function requireBatchSpec(db: Db, person: Person, publicId: string): Promise<BatchSpecId> {
  const namespaces = await visibleNamespaces(db, person);
  const { rows } = await sql<BatchSpecId>`
    select id, public_id as "publicId" from batch_specs
    where public_id = ${publicId} and (${namespaces}::text[] is null or namespace = any(${namespaces}::text[]))
  `.execute(db);
  if (!rows[0]) throw batchSpecNotFound(publicId);
  return rows[0];
}

interface Row extends Omit<BatchSpecRecord, 'state' | 'workspaces'> {
  readonly counts: Readonly<Partial<Record<CountedState, number>>>;
}

/** The states of workspaces and how many have each. */
const counts = sql`(
  select coalesce(jsonb_object_agg(state, count), '{}') from (
    select case when workspace.state = 'processing' and cancel_requested then 'canceling'
      when workspace.state = 'pending' and held then 'held' else workspace.state end as state, count(*)
    from batch_workspaces workspace left join jobs on jobs.id = job_id
    where spec_id = batch_specs.id group by 1
  ) as counted
)`;

/** Returns a batch spec as it is now. Errors: `batch_spec_not_found`. */
export async function readBatchSpec(db: Db, person: Person, publicId: string): Promise<BatchSpecRecord> {
  const { id } = await requireBatchSpec(db, person, publicId);
  const { rows } = await sql<Row>`
    select public_id as id, namespace, name, creator, origin, resolution, resolution_failure as "resolutionFailure", text,
      allow_ignored as "allowIgnored", allow_unsupported as "allowUnsupported", no_cache as "noCache", options,
      iso(created_at) as "createdAt", iso(executed_at) as "executedAt", iso(built_at) as "builtAt",
      build_failure as "buildFailure", ${counts} as counts
    from batch_specs where id = ${id}
  `.execute(db);
  if (!rows[0]) throw batchSpecNotFound(publicId);
  const { counts: workspaces, ...record } = rows[0];
  const count = (...states: CountedState[]) =>
    states.reduce((sum, state) => sum + (workspaces[state] ?? 0), 0);
  return {
    ...record,
    state: stateOfBatchSpec({
      ...{ origin: record.origin, resolution: record.resolution, workspaces },
      isBuilt: record.builtAt !== null,
      isBuildFailed: record.buildFailure !== null,
    }),
    workspaces: {
      skipped: count('skipped'),
      pending: count('pending', 'held'),
      queued: count('queued'),
      processing: count('processing', 'canceling'),
      completed: count('completed'),
      failed: count('failed'),
      canceled: count('canceled'),
    },
  };
}

/** Wakes those who follow a batch spec and, if `hasWork`, those who find workspaces and make changeset specs. */
export function wakeBatch(db: Db, { publicId }: Pick<BatchSpecId, 'publicId'>, hasWork: boolean): void {
  wake(db, batchTopic(publicId));
  if (hasWork) wake(db, batchWorkTopic);
}
