import { sql } from 'kysely';
import type { Logger } from 'pino';
import type { Db } from '../db/connect.ts';
import type { Mirrors } from '../repos/mirrors.ts';
import { type IndexedCommit, neededIndexes } from '../repos/needed.ts';
import type { Bounds } from './rows.ts';

export interface IndexRetentionDeps {
  readonly db: Db;
  readonly mirrors: Pick<Mirrors, 'open'>;
  readonly log: Pick<Logger, 'warn'>;
}

/** An index that no branch or tag has needed for a day is looked at again. */
const lookAgain = sql`interval '1 day'`;

/**
 * Removes indexes that were uploaded too long ago and that nobody needs, the oldest while all together have too many bytes, and documents that
 * no index has. The newest index of a repository always stays. Those of a mirrored repository stay while a branch or a tag needs them; of one
 * whose commits clients send, the newest of each directory and indexer stays. Returns how many indexes.
 */
export async function removeOldIndexes(
  deps: IndexRetentionDeps,
  { before, maxBytes }: Bounds,
): Promise<number> {
  const { db } = deps;
  const unneeded = await findUnneeded(deps, before);
  const { rows } = await sql`
    delete from uploads where id in (
      select id from (
        select id, sum(coalesce(bytes, 0)) over (order by uploaded_at desc, id desc) as total,
          row_number() over (partition by repository order by uploaded_at desc, id desc) as place
        from uploads left join (
          -- A document of several uploads counts for the newest, which keeps it longest. The rows of its symbols count by its occurrences.
          select upload_id, sum(bytes) as bytes from (
            select max(upload_id) as upload_id,
              max(part_bytes + pg_column_size(occurrences) + pg_column_size(symbols) + 40 * occurrence_count) as bytes
            from index_documents join documents on documents.id = document_id group by document_id
          ) as document group by upload_id
        ) as size on upload_id = id
      ) as stored
      where place > 1 and (total > ${maxBytes}::bigint or id = any(${unneeded}::bigint[]))
    ) returning id
  `.execute(db);
  await sql`
    delete from documents
    where used_at < clock_timestamp() - interval '1 day'
      and not exists (select from index_documents where document_id = id)
  `.execute(db);
  return rows.length;
}

/** Returns the indexes from before a time that nobody needs. */
async function findUnneeded(deps: IndexRetentionDeps, before: Date): Promise<number[]> {
  const { db, log } = deps;
  const { rows } = await sql<{ repository: string; mirror: string | null; ids: number[] }>`
    select repository, place as mirror, jsonb_agg(old.id) as ids
    from (
      select id, repository, uploaded_at, needed_at,
        row_number() over (partition by repository, root, indexer order by uploaded_at desc, id desc) as of_place
      from uploads
    ) as old left join repositories on name = repository
    where uploaded_at < ${before} and (needed_at is null or needed_at < clock_timestamp() - ${lookAgain})
      and (place is not null or of_place > 1)
    group by repository, place
  `.execute(db);
  const unneeded: number[] = [];
  for (const { repository, mirror, ids } of rows) {
    if (mirror === null) {
      unneeded.push(...ids);
      continue;
    }
    const needed = await neededOf(deps, repository, mirror).catch((error: unknown) => {
      // Also a mirror that is missing until its next sync: what it needs is not known.
      log.warn({ error, repository }, 'the indexes of a repository are kept: its history cannot be read');
      return null;
    });
    const kept = ids.filter((id) => needed?.has(id) ?? true);
    unneeded.push(...ids.filter((id) => !kept.includes(id)));
    await sql`update uploads set needed_at = clock_timestamp() where id = any(${kept}::bigint[])`.execute(db);
  }
  return unneeded;
}

async function neededOf(
  { db, mirrors }: IndexRetentionDeps,
  repository: string,
  place: string,
): Promise<ReadonlySet<number>> {
  const { rows: indexes } = await sql<IndexedCommit>`
    select id, commit, jsonb_build_array(root, indexer)::text as of from uploads where repository = ${repository}
  `.execute(db);
  const { rows: tips } = await sql<{ commit: string }>`
    select distinct commit from repository_refs join repositories on repositories.id = repository_id
    where repositories.name = ${repository} and commit is not null
  `.execute(db);
  return await neededIndexes(
    await mirrors.open(place),
    tips.map(({ commit }) => commit),
    indexes,
  );
}
