import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';

/** `[line, character, end line, end character, symbol, 1 for a definition or 0]`; numbers count from 0. */
export type StoredOccurrence = [number, number, number, number, string, 0 | 1];

/** A place in a repository; line and character count from 0. */
export interface Location {
  readonly path: string;
  readonly line: number;
  readonly character: number;
  readonly symbol: string;
}

/** Definitions are inserted this many at a time. */
const batchSize = 1_000;

/** Sorts occurrences by their ranges: not every indexer does, and here it does not keep this process busy. */
const sorted = (json: string) => sql`(
  select coalesce(jsonb_agg(one order by (one->0)::int, (one->1)::int, (one->2)::int, (one->3)::int), '[]')
  from jsonb_array_elements(${json}::jsonb) as one
)`;

/** Stores a document's occurrences, as JSON. Returns false, and stores nothing, when the upload has a document of this path. */
export async function insertDocument(
  tx: Db,
  id: number,
  path: string,
  occurrencesJson: string,
): Promise<boolean> {
  const { rows } = await sql`
    insert into upload_documents values (${id}, ${path}, ${sorted(occurrencesJson)})
    on conflict (upload_id, path) do nothing returning path
  `.execute(tx);
  return rows.length === 1;
}

/**
 * Adds occurrences, as JSON in parts, to a stored document. Returns false, and changes nothing, when it would have more than
 * `maxBytes`, as JSON.
 */
export async function extendDocument(
  tx: Db,
  id: number,
  path: string,
  parts: readonly string[],
  maxBytes: number,
): Promise<boolean> {
  // `[1,2]` and `[3]` make `[1,2,3]`: the parts are joined here, so that PostgreSQL writes the document once.
  const inner = parts.map((json) => json.slice(1, -1)).filter((text) => text !== '');
  const json = `[${inner.join(',')}]`;
  const { rows } = await sql`
    update upload_documents set occurrences = occurrences || ${sorted(json)}
    where upload_id = ${id} and path = ${path} and length(occurrences::text) + ${json.length} <= ${maxBytes}
    returning path
  `.execute(tx);
  return rows.length === 1;
}

/** Stores the definitions of a document, which are found by their symbol. */
export async function insertDefinitions(
  tx: Db,
  id: number,
  path: string,
  definitions: readonly StoredOccurrence[],
): Promise<void> {
  for (let at = 0; at < definitions.length; at += batchSize) {
    const part = definitions.slice(at, at + batchSize);
    await sql`
      insert into upload_definitions
      select ${id}, symbol, ${path}, line, character
      from unnest(${part.map((one) => one[4])}::text[], ${part.map((one) => one[0])}::int[],
                  ${part.map((one) => one[1])}::int[]) as defined (symbol, line, character)
    `.execute(tx);
  }
}

/** Returns the occurrences of a document; none for a path that the upload does not have. */
export async function readDocument(db: Db, id: number, path: string): Promise<StoredOccurrence[]> {
  const { rows } = await sql<{ occurrences: StoredOccurrence[] }>`
    select occurrences from upload_documents where upload_id = ${id} and path = ${path}
  `.execute(db);
  return rows[0]?.occurrences ?? [];
}

/** Returns the first documents of an upload, by path; with `outside`, those that are not below this directory. */
export async function readFirstDocuments(
  db: Db,
  id: number,
  limit: number,
  outside: string | null,
): Promise<{ readonly path: string; readonly occurrences: StoredOccurrence[] }[]> {
  const { rows } = await sql<{ path: string; occurrences: StoredOccurrence[] }>`
    select path, occurrences from upload_documents
    where upload_id = ${id} and not coalesce(starts_with(path, ${outside}), false)
    order by path limit ${limit}
  `.execute(db);
  return rows;
}

/** Returns where an upload defines these symbols, by path, line and character. */
export async function findDefinitions(db: Db, id: number, symbols: readonly string[]): Promise<Location[]> {
  const { rows } = await sql<Location>`
    select path, line, character, symbol from upload_definitions
    where upload_id = ${id} and md5(symbol) = any(select md5(wanted) from unnest(${symbols}::text[]) wanted)
      and symbol = any(${symbols}::text[])
    order by path, line, character
  `.execute(db);
  return rows;
}
