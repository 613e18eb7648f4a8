import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';

/**
 * `[line, character, end line, end character, symbol, 1 for a definition or 0]`, and then the four numbers of the range of the whole
 * definition, if it is known; numbers count from 0.
 */
export type StoredOccurrence = [number, number, number, number, string, 0 | 1, ...number[]];

/** `[symbol, Markdown]`: what an indexer wrote of a symbol. */
export type StoredDescription = [string, string];

/** What a document does with a symbol, and where: four numbers for each range. */
export interface StoredUse {
  readonly symbol: Buffer;
  readonly kind: UseKind;
  readonly ranges: number[];
}

/** What a document does with a symbol, as `document_symbols` has it. */
export const useKinds = { definition: 0, reference: 1, implementation: 2 } as const;
export type UseKind = (typeof useKinds)[keyof typeof useKinds];

/** A document that is stored, by its content. */
export interface StoredDocument {
  readonly id: number;
  readonly sha256: Buffer;
  /** From the root of the index; null: it is stored for no place. */
  readonly path: string | null;
  readonly occurrences: number;
  readonly symbols: number;
}

/** Sorts occurrences by their ranges: not every indexer does, and here it does not keep this process busy. */
const sorted = (json: string) => sql`(
  select coalesce(jsonb_agg(one order by (one->0)::int, (one->1)::int, (one->2)::int, (one->3)::int), '[]')
  from jsonb_array_elements(${json}::jsonb) as one
)`;

const columns = sql`id, sha256, path, occurrence_count as occurrences, symbol_count as symbols`;

/** Returns the documents with these contents that are stored, and keeps them from being removed for a day. */
export async function findDocuments(db: Db, hashes: readonly Buffer[]): Promise<StoredDocument[]> {
  // In one order, so that two processes that find the same documents do not wait in a circle.
  await sql`
    with old as (
      select id from documents
      where sha256 = any(${hashes}::bytea[]) and used_at < clock_timestamp() - interval '1 hour'
      order by id for no key update
    )
    update documents set used_at = clock_timestamp() from old where documents.id = old.id
  `.execute(db);
  const { rows } = await sql<StoredDocument>`
    select ${columns} from documents where sha256 = any(${hashes}::bytea[])
  `.execute(db);
  return rows;
}

/** Stores a document with what it does with symbols; one that was stored in the meantime stays. */
export async function insertDocument(
  tx: Db,
  document: Omit<StoredDocument, 'id'> & {
    readonly occurrencesJson: string;
    readonly symbolsJson: string;
    readonly uses: readonly StoredUse[];
  },
): Promise<StoredDocument> {
  const { sha256, path, occurrencesJson, symbolsJson, occurrences, symbols, uses } = document;
  const { rows } = await sql<StoredDocument>`
    insert into documents (sha256, path, occurrences, symbols, occurrence_count, symbol_count)
    values (${sha256}, ${path}, ${sorted(occurrencesJson)}, ${symbolsJson}::jsonb, ${occurrences}, ${symbols})
    on conflict (sha256) do nothing returning ${columns}
  `.execute(tx);
  const [stored] = rows;
  if (stored === undefined) return (await findDocuments(tx, [sha256]))[0] as StoredDocument;
  // Arrays of unequal lengths cannot be unnested: the ranges of each row go as text.
  await sql`
    insert into document_symbols
    select symbol, kind, ${stored.id}, ranges::int[]
    from unnest(${uses.map((use) => use.symbol)}::bytea[], ${uses.map((use) => use.kind)}::int[],
                ${uses.map(({ ranges }) => `{${ranges.join(',')}}`)}::text[]) as use (symbol, kind, ranges)
  `.execute(tx);
  return stored;
}

/** Says which documents an upload has. */
export async function insertUploadDocuments(
  tx: Db,
  upload: number,
  documents: readonly { readonly path: string; readonly id: number }[],
): Promise<void> {
  await sql`
    insert into index_documents (upload_id, path, document_id)
    select ${upload}, path, id
    from unnest(${documents.map(({ path }) => path)}::text[], ${documents.map(({ id }) => id)}::bigint[]) as one (path, id)
    on conflict do nothing
  `.execute(tx);
}

/** Returns the occurrences of a document, sorted by their ranges; none for a path that the upload does not have. */
export async function readOccurrences(db: Db, upload: number, path: string): Promise<StoredOccurrence[]> {
  const { rows } = await sql<{ occurrences: StoredOccurrence[] }>`
    select occurrences from index_documents place join documents on id = document_id
    where upload_id = ${upload} and place.path = ${path}
    order by id
  `.execute(db);
  const [{ occurrences } = { occurrences: [] }, ...parts] = rows;
  if (parts.length === 0) return occurrences;
  const all = [...occurrences, ...parts.flatMap((part) => part.occurrences)];
  return all.sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2] || a[3] - b[3]);
}

/** Returns the first documents of an upload, by path; with `outside`, those that are not below this directory. */
export async function readFirstDocuments(
  db: Db,
  upload: number,
  limit: number,
  outside: string | null,
): Promise<{ readonly path: string; readonly occurrences: StoredOccurrence[] }[]> {
  const { rows } = await sql<{ path: string; occurrences: StoredOccurrence[] }>`
    select place.path, occurrences from index_documents place join documents on id = document_id
    where upload_id = ${upload} and not coalesce(starts_with(place.path, ${outside}), false)
    order by place.path, id limit ${limit}
  `.execute(db);
  return rows;
}

/** Returns what those documents of these uploads say of a symbol that define it: Markdown, or null. */
export async function readDescription(
  db: Db,
  uploads: readonly number[],
  symbol: string,
  key: Buffer,
): Promise<string | null> {
  const { rows } = await sql<{ text: string }>`
    select one ->> 1 as text
    from document_symbols use
      join index_documents place on place.document_id = use.document_id
      join documents on id = use.document_id, jsonb_array_elements(symbols) as one
    where use.symbol = ${key} and kind = ${useKinds.definition} and upload_id = any(${uploads}::bigint[])
      and one ->> 0 = ${symbol} and one ->> 1 <> ''
    limit 1
  `.execute(db);
  return rows[0]?.text ?? null;
}

/** Returns what a document says of a symbol: Markdown, or null. */
export async function readOwnDescription(
  db: Db,
  upload: number,
  path: string,
  symbol: string,
): Promise<string | null> {
  const { rows } = await sql<{ text: string }>`
    select one ->> 1 as text
    from index_documents place join documents on id = document_id, jsonb_array_elements(symbols) as one
    where upload_id = ${upload} and place.path = ${path} and one ->> 0 = ${symbol} and one ->> 1 <> ''
    limit 1
  `.execute(db);
  return rows[0]?.text ?? null;
}
