import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import type { StoredPart } from './parts.ts';

/** `[symbol, Markdown]`: what an indexer wrote of a symbol. */
export type StoredDescription = [string, string];

/** What a document does with a symbol, and where: four numbers for each range. */
export interface StoredUse {
  readonly symbol: Buffer;
  readonly kind: UseKind;
  readonly ranges: number[];
}

/** What a document does with a symbol, as `document_symbols` has it. A description, of a symbol of another project, has no ranges. */
export const useKinds = { definition: 0, reference: 1, implementation: 2, description: 3 } as const;
export type UseKind = (typeof useKinds)[keyof typeof useKinds];

/** How symbols are related, as `symbol_relations` has it: references of the target are references too, or its definition is the definition. */
export const relationKinds = { references: 0, definition: 1 } as const;
export type RelationKind = (typeof relationKinds)[keyof typeof relationKinds];

/** What a document says of a symbol that means something beyond it. */
export interface StoredRelation {
  readonly symbol: Buffer;
  readonly kind: RelationKind;
  /** Symbols. */
  readonly targets: readonly string[];
}

/** A document that is stored, by its content. */
export interface StoredDocument {
  readonly id: number;
  readonly sha256: Buffer;
  /** From the root of the index; null: it is stored for no place. */
  readonly path: string | null;
  readonly occurrences: number;
  readonly symbols: number;
}

/** What is stored of a document that is not stored yet. */
export interface NewDocument extends Omit<StoredDocument, 'id'> {
  readonly parts: readonly StoredPart[];
  readonly symbolsJson: string;
  readonly uses: readonly StoredUse[];
  readonly relations: readonly StoredRelation[];
}

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

/** Stores documents with what they do with symbols; those that were stored in the meantime stay. Returns all. */
export async function insertDocuments(tx: Db, documents: readonly NewDocument[]): Promise<StoredDocument[]> {
  const { rows: stored } = await sql<StoredDocument>`
    insert into documents (sha256, path, occurrences, symbols, occurrence_count, symbol_count, part_bytes)
    select sha256, path, '[]', symbols::jsonb, occurrence_count, symbol_count, part_bytes
    from unnest(${documents.map(({ sha256 }) => sha256)}::bytea[], ${documents.map(({ path }) => path)}::text[],
                ${documents.map(({ symbolsJson }) => symbolsJson)}::text[],
                ${documents.map(({ occurrences }) => occurrences)}::int[], ${documents.map(({ symbols }) => symbols)}::int[],
                ${documents.map(({ parts }) => parts.reduce((sum, { json }) => sum + json.length, 0))}::bigint[])
      as one (sha256, path, symbols, occurrence_count, symbol_count, part_bytes)
    on conflict (sha256) do nothing returning ${columns}
  `.execute(tx);
  const ids = new Map(stored.map(({ sha256, id }) => [sha256.toString('hex'), id]));
  const isNew = (document: NewDocument) => ids.has(document.sha256.toString('hex'));
  await insertParts(tx, documents.filter(isNew), ids);
  const others = documents.filter((document) => !isNew(document)).map(({ sha256 }) => sha256);
  return others.length === 0 ? stored : [...stored, ...(await findDocuments(tx, others))];
}

/** Stores what belongs to documents, whose ids are those of their hashes. Arrays of unequal lengths cannot be unnested: each goes as text. */
async function insertParts(
  tx: Db,
  documents: readonly NewDocument[],
  ids: ReadonlyMap<string, number>,
): Promise<void> {
  const parts = documents.flatMap(({ sha256, parts: all }) => {
    const id = ids.get(sha256.toString('hex'));
    return all.map((part, number) => ({ ...part, id, number }));
  });
  await sql`
    insert into document_parts
    select document_id, part, first_line, last_line, locals::int[], occurrences::json
    from unnest(${parts.map(({ id }) => id)}::bigint[], ${parts.map(({ number }) => number)}::int[],
                ${parts.map(({ firstLine }) => firstLine)}::int[], ${parts.map(({ lastLine }) => lastLine)}::int[],
                ${parts.map(({ locals }) => `{${locals.join(',')}}`)}::text[], ${parts.map(({ json }) => json)}::text[])
      as one (document_id, part, first_line, last_line, locals, occurrences)
  `.execute(tx);
  const uses = documents.flatMap(({ sha256, uses: all }) => {
    const id = ids.get(sha256.toString('hex'));
    return all.map((use) => ({ ...use, id }));
  });
  await sql`
    insert into document_symbols
    select symbol, kind, document_id, ranges::int[]
    from unnest(${uses.map(({ symbol }) => symbol)}::bytea[], ${uses.map(({ kind }) => kind)}::int[],
                ${uses.map(({ id }) => id)}::bigint[], ${uses.map(({ ranges }) => `{${ranges.join(',')}}`)}::text[])
      as use (symbol, kind, document_id, ranges)
  `.execute(tx);
  const relations = documents.flatMap(({ sha256, relations: all }) => {
    const document = ids.get(sha256.toString('hex')) as number;
    return all.map((relation) => ({ ...relation, document }));
  });
  await insertRelations(tx, relations);
}

/** Stores what documents say of symbols. */
async function insertRelations(
  tx: Db,
  relations: readonly (StoredRelation & { readonly document: number })[],
): Promise<void> {
  if (relations.length === 0) return;
  await sql`
    insert into symbol_relations
    select symbol, kind, document_id, array(select jsonb_array_elements_text(targets::jsonb))
    from unnest(${relations.map(({ symbol }) => symbol)}::bytea[], ${relations.map(({ kind }) => kind)}::int[],
                ${relations.map(({ document }) => document)}::bigint[],
                ${relations.map(({ targets }) => JSON.stringify(targets))}::text[])
      as one (symbol, kind, document_id, targets)
  `.execute(tx);
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

/** Returns what those documents of these uploads say of a symbol that define it, or else others: Markdown, or null. */
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
    where use.symbol = ${key} and kind in (${useKinds.definition}, ${useKinds.description}) and upload_id = any(${uploads}::bigint[])
      and one ->> 0 = ${symbol} and one ->> 1 <> ''
    order by kind, use.document_id limit 1
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
