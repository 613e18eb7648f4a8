import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import { packagePrefix } from '../../dependencies/packages.ts';
import { symbolKey } from '../symbol-key.ts';
import { type RelationKind, type UseKind, useKinds } from './documents.ts';

/** Where documents do something with a symbol: rows of one document of one upload. */
export interface UseRow {
  readonly upload: number;
  readonly repository: string;
  readonly commit: string;
  readonly path: string;
  readonly document: number;
  readonly symbol: Buffer;
  /** Four numbers for each range. */
  readonly ranges: number[];
}

/** Which uploads answer: those of a commit, or the latest ones of all other repositories. */
export interface UploadScope {
  readonly repository: string;
  readonly commit: string;
  readonly where: 'commit' | 'elsewhere';
}

/** Returns the condition for uploads to be in a scope. */
const inScope = ({ repository, commit, where }: UploadScope) =>
  where === 'commit'
    ? sql`repository = ${repository} and commit = ${commit}`
    : sql`repository <> ${repository} and not starts_with(repository, ${packagePrefix}) and not exists (
        select from uploads later
        where later.repository = uploads.repository and later.root = uploads.root
          and later.indexer = uploads.indexer and later.id > uploads.id
      )`;

/** Where a page of rows begins: the first row is this one, or comes after it. */
export interface UseStart {
  readonly upload: number;
  readonly path: string;
  readonly document: number;
}

const firstRow: UseStart = { upload: 0, path: '', document: 0 };

/** Returns at most `limit` rows of what documents do with symbols, by upload, path and document. */
export async function findUses(
  db: Db,
  scope: UploadScope,
  { symbols, kind }: { readonly symbols: readonly Buffer[]; readonly kind: UseKind },
  limit: number,
  start: UseStart = firstRow,
): Promise<UseRow[]> {
  const { rows } = await sql<UseRow>`
    select uploads.id as upload, repository, commit, place.path, use.document_id as document, symbol, ranges
    from document_symbols use
      join index_documents place on place.document_id = use.document_id
      join uploads on uploads.id = place.upload_id
    where symbol = any(${symbols}::bytea[]) and kind = ${kind} and ${inScope(scope)}
      and (uploads.id, place.path, use.document_id) >= (${start.upload}, ${start.path}, ${start.document})
    order by uploads.id, place.path, use.document_id, symbol
    limit ${limit}
  `.execute(db);
  return rows;
}

/** Returns at most `limit` symbols that these ones are related to. */
export async function findRelated(
  db: Db,
  scope: UploadScope,
  { symbols, kind }: { readonly symbols: readonly Buffer[]; readonly kind: RelationKind },
  limit: number,
): Promise<string[]> {
  const { rows } = await sql<{ target: string }>`
    select distinct unnest(targets) as target
    from symbol_relations relation
      join index_documents place on place.document_id = relation.document_id
      join uploads on uploads.id = place.upload_id
    where symbol = any(${symbols}::bytea[]) and kind = ${kind} and ${inScope(scope)}
    order by target limit ${limit}
  `.execute(db);
  return rows.map(({ target }) => target);
}

/** A place in a repository; line and character count from 0. */
export interface Location {
  readonly path: string;
  readonly line: number;
  readonly character: number;
  readonly symbol: string;
}

/** Returns where an upload defines these symbols, by path, line and character. */
export async function findDefinitionsIn(
  db: Db,
  upload: number,
  symbols: readonly string[],
): Promise<Location[]> {
  const byKey = new Map(symbols.map((symbol) => [symbolKey(symbol).toString('hex'), symbol]));
  const keys = [...byKey.keys()].map((hex) => Buffer.from(hex, 'hex'));
  const { rows } = await sql<Omit<Location, 'symbol'> & { key: Buffer }>`
    select place.path, ranges[at] as line, ranges[at + 1] as character, symbol as key
    from document_symbols use
      join index_documents place on place.document_id = use.document_id,
      generate_series(1, cardinality(ranges), 4) as at
    where upload_id = ${upload} and symbol = any(${keys}::bytea[]) and kind = ${useKinds.definition}
    order by 1, 2, 3
  `.execute(db);
  return rows.map(({ key, ...place }) => ({ ...place, symbol: byKey.get(key.toString('hex')) ?? '' }));
}
