import type { IndexStatus } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';
import { mirrorIfAny } from '../repos/commit-files.ts';
import type { Mirrors } from '../repos/mirrors.ts';
import { countMissing, readAncestors } from '../repos/nearby.ts';
import { readRepository } from '../repos/records.ts';
import { matches } from './pattern.ts';
import { listIndexPolicies } from './records.ts';

/** Latest commits, and directories and indexers, that a status shows. */
const [commitsMax, indexesMax] = [20, 100];
/** Commits whose distance from the tip is counted: each takes a process of git. */
const countedMax = 10;

type Index = IndexStatus['indexes'][number];

/** Returns how a repository is indexed: what answers for its default branch, and what was decided of its latest commits. Errors: `repository_not_found`. */
export async function readIndexStatus(
  deps: { readonly db: Db; readonly mirrors: Mirrors },
  repository: string,
): Promise<IndexStatus> {
  const { db } = deps;
  const { commit: tip } = await readRepository(db, repository);
  const policies = (await listIndexPolicies(db)).filter((policy) => matches(policy.repositories, repository));
  return {
    repository,
    tip,
    policies: policies.map(({ name }) => name),
    indexes: await readIndexes(deps, repository, tip),
    commits: await readCommits(db, repository),
  };
}

/** Returns for each directory and indexer the index that is the nearest to the tip of the default branch, else the latest one. */
async function readIndexes(
  deps: { readonly db: Db; readonly mirrors: Mirrors },
  repository: string,
  tip: string | null,
): Promise<Index[]> {
  const { rows } = await sql<Index>`
    select id, commit, root, indexer, indexer_version as "indexerVersion", job_id as "jobId",
      (select name from users where users.id = uploaded_by) as "uploadedBy", iso(uploaded_at) as "uploadedAt",
      documents, occurrences, symbols, null as behind
    from uploads where repository = ${repository} order by uploaded_at desc, id desc
  `.execute(deps.db);
  const mirror = tip === null ? null : await mirrorIfAny(deps, repository);
  const history = mirror === null || tip === null ? [] : await readAncestors(mirror, tip);
  const distances = new Map(history.map((commit, distance) => [commit, distance]));
  const distanceOf = ({ commit }: Index) => distances.get(commit) ?? Infinity;
  const nearest = new Map<string, Index>();
  for (const index of rows) {
    const of = JSON.stringify([index.root, index.indexer]);
    const known = nearest.get(of);
    if (known === undefined || distanceOf(index) < distanceOf(known)) nearest.set(of, index);
  }
  const shown = [...nearest.values()]
    .sort((one, other) => (one.root < other.root ? -1 : one.root > other.root ? 1 : 0))
    .slice(0, indexesMax);
  if (mirror === null || tip === null) return shown;
  const behind = new Map<string, number | null>();
  for (const commit of [...new Set(shown.map((index) => index.commit))].slice(0, countedMax))
    behind.set(commit, commit === tip ? 0 : await countMissing(mirror, tip, commit));
  return shown.map((index) => ({ ...index, behind: behind.get(index.commit) ?? null }));
}

/** Returns what was decided of the latest commits of a repository, and what became of it. */
async function readCommits(db: Db, repository: string): Promise<IndexStatus['commits']> {
  const { rows } = await sql<IndexStatus['commits'][number]>`
    select commit, iso(planned_at) as "plannedAt", policy, source, notes, failure,
      coalesce((
        select jsonb_agg(jsonb_build_object('id', jobs.id, 'state', jobs.state, 'root', jobs.payload ->> 'root',
          'indexer', jobs.payload #>> '{indexer,name}', 'uploadId', uploads.id, 'documents', uploads.documents,
          'failure', jobs.reason) order by jobs.id)
        from jobs left join uploads on uploads.job_id = jobs.id
        where jobs.queue = 'codeintel' and jobs.repository = indexings.repository and jobs.commit = indexings.commit
      ), '[]') as jobs
    from indexings where repository = ${repository} order by planned_at desc limit ${commitsMax}
  `.execute(db);
  return rows;
}
