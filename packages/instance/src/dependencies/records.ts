import type {
  CodePackage,
  Dependencies,
  DependencyIndexing,
  SetDependencyIndexing,
} from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';
import { requireBroker } from '../secrets/broker.ts';
import { symbolKey } from '../codeintel/symbol-key.ts';
import { useKinds } from '../codeintel/sql/documents.ts';
import { dependencyOf, packagePrefix } from './packages.ts';

/** Most packages of one index that are recorded. */
const packagesMax = 2_000;
/** Symbols of a package that are looked at: whether the commit defines one of them. */
const samplesMax = 20;
/** Most dependencies that are listed. */
const listedMax = 1_000;

const settingsRecord = sql`tenant, accept, network, broker, jobs_a_day as "jobsADay", iso(set_at) as "setAt"`;
/** The name under which the index of a dependency is stored. */
const repository = sql`${packagePrefix}::text || manager || '/' || name || '@' || version`;
const upload = sql`(select max(id) from uploads where uploads.repository = ${repository})`;

/** Returns how dependencies are indexed; null: they are not. */
export async function readDependencyIndexing(db: Db): Promise<DependencyIndexing | null> {
  const { rows } = await sql<DependencyIndexing>`select ${settingsRecord} from dependency_indexing`.execute(
    db,
  );
  return rows[0] ?? null;
}

/** Has dependencies indexed from now on. The jobs are those of `tenant`. What failed before is tried again. Errors: `broker_not_found`. */
export async function setDependencyIndexing(
  db: Db,
  tenant: string,
  { accept, network, broker, jobsADay }: Required<SetDependencyIndexing>,
): Promise<DependencyIndexing> {
  await requireBroker(db, { queue: 'codeintel', repository: packagePrefix }, broker ?? []);
  const { rows } = await sql<DependencyIndexing>`
    insert into dependency_indexing (tenant, accept, network, broker, jobs_a_day)
    values (${tenant}, ${accept}, ${JSON.stringify(network)}::jsonb, ${broker}, ${jobsADay})
    on conflict (only_one) do update set tenant = excluded.tenant, accept = excluded.accept, network = excluded.network,
      broker = excluded.broker, jobs_a_day = excluded.jobs_a_day, set_at = clock_timestamp()
    returning ${settingsRecord}
  `.execute(db);
  await sql`update dependencies set failure = null, job_id = null where failure is not null`.execute(db);
  return rows[0] as DependencyIndexing;
}

/** Has no more dependencies indexed. Their indexes stay. */
export async function removeDependencyIndexing(db: Db): Promise<void> {
  await sql`delete from dependency_indexing`.execute(db);
}

/** Returns the packages that indexes name, of one repository or of all (null), those that failed first. */
export async function listDependencies(db: Db, of: string | null): Promise<Dependencies['dependencies']> {
  const { rows } = await sql<Dependencies['dependencies'][number]>`
    select manager, name, version, job_id as "jobId", failure, ${upload} as upload,
      case when ${upload} is not null then 'indexed' when failure is not null then 'failed'
        when job_id is not null then 'processing' else 'waiting' end as state
    from dependencies
    where ${of}::text is null or exists (
      select from index_dependencies join uploads on uploads.id = upload_id
      where dependency_id = dependencies.id and uploads.repository = ${of}
    )
    order by failure is null, manager, name, version limit ${listedMax}
  `.execute(db);
  return rows;
}

/** Returns the newest index of each place that nobody has read the packages of, at most `limit`. Indexes of packages are left out. */
export async function findUnread(db: Db, limit: number): Promise<number[]> {
  const { rows } = await sql<{ id: number }>`
    select id from uploads
    where dependencies_read_at is null and not starts_with(repository, ${packagePrefix}) and not exists (
      select from uploads later
      where later.repository = uploads.repository and later.root = uploads.root and later.indexer = uploads.indexer and later.id > uploads.id
    )
    order by id limit ${limit}
  `.execute(db);
  return rows.map(({ id }) => id);
}

/** Records the packages that an index names and that no index of its commit defines. */
export async function readPackages(db: Db, id: number): Promise<void> {
  const { rows } = await sql<{ symbols: string[] }>`
    select (array_agg(symbol))[1:${samplesMax}::int] as symbols
    from index_documents join document_parts using (document_id), json_array_elements_text(occurrences -> 'symbols') as symbol
    where upload_id = ${id} and symbol like '% % % % %'
    group by split_part(symbol, ' ', 1), split_part(symbol, ' ', 2), split_part(symbol, ' ', 3), split_part(symbol, ' ', 4)
    limit ${packagesMax}
  `.execute(db);
  const named = rows.flatMap(({ symbols }) => {
    const found = dependencyOf(symbols[0] ?? '');
    return found === null ? [] : [{ ...found, keys: symbols.map(symbolKey) }];
  });
  const { rows: own } = await sql<{ symbol: Buffer }>`
    select distinct symbol
    from document_symbols use
      join index_documents place on place.document_id = use.document_id join uploads on uploads.id = place.upload_id,
      (select repository, commit from uploads where id = ${id}) as this
    where symbol = any(${named.flatMap(({ keys }) => keys)}::bytea[]) and kind = ${useKinds.definition}
      and uploads.repository = this.repository and uploads.commit = this.commit
  `.execute(db);
  const defined = new Set(own.map(({ symbol }) => symbol.toString('hex')));
  const others = named.filter(({ keys }) => !keys.some((key) => defined.has(key.toString('hex'))));
  const column = (field: keyof CodePackage) => sql`${others.map((one) => one[field])}::text[]`;
  await sql`
    with named as (
      select * from unnest(${column('manager')}, ${column('name')}, ${column('version')}) as one (manager, name, version)
    ), stored as (
      insert into dependencies (manager, name, version) select distinct * from named order by 1, 2, 3
      on conflict (manager, name, version) do update set seen_at = clock_timestamp() returning id
    ), used as (
      insert into index_dependencies (upload_id, dependency_id) select ${id}, id from stored on conflict do nothing
    )
    update uploads set dependencies_read_at = clock_timestamp() where id = ${id}
  `.execute(db);
}

/** A package that is to be indexed. */
export interface DueDependency extends CodePackage {
  readonly id: number;
  /** Jobs that were made for it. */
  readonly tries: number;
}

/** Returns the packages that are to be indexed next, at most `together` of them under way and `aDay` begun in 24 hours. */
export async function findDue(
  db: Db,
  { together, aDay }: { readonly together: number; readonly aDay: number },
): Promise<DueDependency[]> {
  // What became of the jobs that have ended.
  await sql`
    update dependencies set failure = coalesce(jobs.message, jobs.reason, case when state = 'completed' then 'its job left no index' else state end)
    from jobs where jobs.id = job_id and failure is null and state in ('completed', 'failed', 'canceled') and ${upload} is null
  `.execute(db);
  const { rows } = await sql<DueDependency>`
    select id, manager, name, version, tries from dependencies
    where (failure is null and job_id is null or failure is not null and tried_at < clock_timestamp() - interval '1 day') and ${upload} is null
      and exists (select from index_dependencies where dependency_id = dependencies.id)
    order by tries, id
    limit greatest(0, least(
      ${together} - (select count(*) from dependencies one where job_id is not null and failure is null
        and not exists (select from uploads where uploads.job_id = one.job_id)),
      ${aDay} - (select count(*) from dependencies where tried_at > clock_timestamp() - interval '1 day')
    ))
  `.execute(db);
  return rows;
}

/** Says which job indexes a package, or why there can be none. */
export async function recordTry(
  db: Db,
  id: number,
  { jobId, failure }: { readonly jobId: number | null; readonly failure: string | null },
): Promise<void> {
  await sql`
    update dependencies set job_id = ${jobId}, tried_at = clock_timestamp(), tries = tries + 1, failure = ${failure} where id = ${id}
  `.execute(db);
}

/** Removes packages that no index has named for a week, with their indexes. */
export async function removeUnnamed(db: Db): Promise<void> {
  await sql`
    with gone as (
      delete from dependencies
      where seen_at < clock_timestamp() - interval '7 days'
        and not exists (select from index_dependencies where dependency_id = dependencies.id)
      returning ${repository} as repository
    )
    delete from uploads using gone where uploads.repository = gone.repository
  `.execute(db);
}
