import type { IndexPolicy, setIndexPolicySchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { z } from 'zod';
import type { Db } from '../db/connect.ts';
import { indexPolicyNotFound } from './errors.ts';
import type { IndexPlan } from './plan.ts';

const policyRecord = sql`
  name, tenant, repositories, kind, pattern, extract(epoch from max_age)::int as "maxAgeSeconds",
  extract(epoch from pause)::int as "pauseSeconds", accept, iso(created_at) as "createdAt"
`;

/** Returns the policies that say which commits are indexed, by name. */
export async function listIndexPolicies(db: Db): Promise<IndexPolicy[]> {
  return (await sql<IndexPolicy>`select ${policyRecord} from index_policies order by name`.execute(db)).rows;
}

/** Stores a policy in place of an earlier one of this name. Its jobs are those of `tenant`. */
export async function setIndexPolicy(
  db: Db,
  name: string,
  tenant: string,
  policy: z.output<typeof setIndexPolicySchema>,
): Promise<IndexPolicy> {
  const { repositories, kind, pattern, maxAgeSeconds, pauseSeconds, accept } = policy;
  const { rows } = await sql<IndexPolicy>`
    insert into index_policies (name, tenant, repositories, kind, pattern, max_age, pause, accept)
    values (${name}, ${tenant}, ${repositories}, ${kind}, ${pattern}, make_interval(secs => ${maxAgeSeconds}),
      make_interval(secs => ${pauseSeconds}), ${accept})
    on conflict (name) do update set tenant = excluded.tenant, repositories = excluded.repositories, kind = excluded.kind,
      pattern = excluded.pattern, max_age = excluded.max_age, pause = excluded.pause, accept = excluded.accept
    returning ${policyRecord}
  `.execute(db);
  return rows[0] as IndexPolicy;
}

/** Removes a policy. What it had indexed stays. Errors: `index_policy_not_found`. */
export async function removeIndexPolicy(db: Db, name: string): Promise<void> {
  const { rows } = await sql`delete from index_policies where name = ${name} returning 1`.execute(db);
  if (rows.length === 0) throw indexPolicyNotFound(name);
}

/** Records for which commit it was decided which jobs index it, or why it could not be. */
export async function recordIndexing(
  db: Db,
  {
    repository,
    commit,
    policy,
  }: { readonly repository: string; readonly commit: string; readonly policy: string | null },
  outcome: IndexPlan | { readonly failure: string },
): Promise<void> {
  const failure = 'failure' in outcome ? outcome.failure.slice(0, 2_000) : null;
  const { source, jobs, notes } = 'failure' in outcome ? { source: null, jobs: [], notes: [] } : outcome;
  await sql`
    insert into indexings (repository, commit, policy, source, jobs, notes, failure)
    values (${repository}, ${commit}, ${policy}, ${source}, ${jobs.length}, ${notes}, ${failure})
    on conflict (repository, commit) do update set policy = excluded.policy, planned_at = clock_timestamp(),
      source = excluded.source, jobs = excluded.jobs, notes = excluded.notes, failure = excluded.failure
  `.execute(db);
}

/** A branch or a tag of a mirrored repository whose commit nobody has had indexed yet. */
export interface UnindexedRef {
  readonly name: string;
  readonly commit: string;
  /** Whether it is the default branch. */
  readonly isDefault: boolean;
}

/** Returns the branches and tags of a repository whose commits nobody has had indexed yet, the default branch first. */
export async function readUnindexedRefs(db: Db, repository: string): Promise<UnindexedRef[]> {
  const { rows } = await sql<UnindexedRef>`
    select ref.name, ref.commit, ref.name = head as "isDefault"
    from repositories join repository_refs ref on ref.repository_id = repositories.id
    where repositories.name = ${repository} and ref.commit is not null
      and not exists (select from indexings where indexings.repository = ${repository} and indexings.commit = ref.commit)
    order by (ref.name = head) desc nulls last, ref.name
  `.execute(db);
  return rows;
}

/** Returns how long ago a policy last had a commit of a repository indexed, seconds; null: never. */
export async function secondsSinceIndexing(
  db: Db,
  repository: string,
  policy: string,
): Promise<number | null> {
  const { rows } = await sql<{ seconds: number | null }>`
    select extract(epoch from clock_timestamp() - max(planned_at))::float8 as seconds from indexings
    where repository = ${repository} and policy = ${policy}
  `.execute(db);
  return rows[0]?.seconds ?? null;
}

/** Returns how many index jobs of a repository have not ended, counted up to `most`. */
export async function countIndexJobs(db: Db, repository: string, most: number): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*) from (
      select from jobs
      where queue = 'codeintel' and repository = ${repository} and state in ('queued', 'errored', 'processing')
      limit ${most}
    ) as unfinished
  `.execute(db);
  return rows[0]?.count ?? 0;
}
