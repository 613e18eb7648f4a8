import { crc32 } from 'node:zlib';
import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';

/**
 * `[line, character, end line, end character, symbol, 1 for a definition or 0]`, and then the four numbers of the range of the whole
 * definition, if it is known; numbers count from 0.
 */
export type StoredOccurrence = [number, number, number, number, string, 0 | 1, ...number[]];

/** What a row of `document_parts` has of the occurrences: each has the number of its symbol in the place of it. */
interface PartContent {
  readonly symbols: readonly string[];
  readonly occurrences: readonly (readonly number[])[];
}

/** Some of a document's occurrences, as they are stored. */
export interface StoredPart {
  readonly firstLine: number;
  readonly lastLine: number;
  /** Keys of its local symbols. */
  readonly locals: readonly number[];
  readonly json: string;
}

/** Returns the number by which parts with a local symbol are found; two symbols may have the same. */
const localKey = (symbol: string) => crc32(symbol) | 0;

/** Returns what is stored of occurrences that are sorted by their lines. */
export function encodePart(
  occurrences: readonly StoredOccurrence[],
  isLocal: (symbol: string) => boolean,
): StoredPart {
  const numbers = new Map<string, number>();
  const rows = occurrences.map(([line, character, endLine, endCharacter, symbol, ...rest]) => {
    let number = numbers.get(symbol);
    if (number === undefined) {
      number = numbers.size;
      numbers.set(symbol, number);
    }
    return [line, character, endLine, endCharacter, number, ...rest];
  });
  const symbols = [...numbers.keys()];
  return {
    firstLine: occurrences[0]?.[0] ?? 0,
    lastLine: occurrences.reduce((last, [, , endLine]) => Math.max(last, endLine), 0),
    locals: symbols.filter(isLocal).map(localKey),
    json: JSON.stringify({ symbols, occurrences: rows } satisfies PartContent),
  };
}

const isBefore = (a: StoredOccurrence, b: StoredOccurrence) =>
  a[0] - b[0] || a[1] - b[1] || a[2] - b[2] || a[3] - b[3];

/** Returns the occurrences of rows, sorted by their ranges. */
function decodeParts(
  rows: readonly { readonly occurrences: PartContent | StoredOccurrence[] }[],
): StoredOccurrence[] {
  const all: StoredOccurrence[] = [];
  for (const { occurrences: content } of rows) {
    if (!('symbols' in content)) {
      for (const one of content) all.push(one);
      continue;
    }
    for (const [
      line = 0,
      character = 0,
      endLine = 0,
      endCharacter = 0,
      number = 0,
      defines,
      ...whole
    ] of content.occurrences)
      all.push([
        line,
        character,
        endLine,
        endCharacter,
        content.symbols[number] ?? '',
        defines === 1 ? 1 : 0,
        ...whole,
      ]);
  }
  return all.sort(isBefore);
}

/** Returns the occurrences of the parts for which a condition holds; of documents that an older build has stored, all. */
async function readParts(
  db: Db,
  upload: number,
  path: string,
  condition: ReturnType<typeof sql>,
): Promise<StoredOccurrence[]> {
  const { rows } = await sql<{ occurrences: PartContent | StoredOccurrence[] }>`
    select part.occurrences
    from index_documents place join document_parts part using (document_id)
    where upload_id = ${upload} and place.path = ${path} and ${condition}
    union all
    select to_json(occurrences)
    from index_documents place join documents on id = document_id
    where upload_id = ${upload} and place.path = ${path} and part_bytes = 0
  `.execute(db);
  return decodeParts(rows);
}

/** Returns the occurrences of a document, sorted by their ranges; none for a path that the upload does not have. */
export const readOccurrences = (db: Db, upload: number, path: string): Promise<StoredOccurrence[]> =>
  readParts(db, upload, path, sql`true`);

/** Returns the occurrences of a document that are on a line, and others near it, sorted by their ranges. */
export const readOccurrencesNear = (
  db: Db,
  upload: number,
  path: string,
  line: number,
): Promise<StoredOccurrence[]> =>
  readParts(db, upload, path, sql`first_line <= ${line} and last_line >= ${line}`);

/** Returns the occurrences of a symbol that only its document knows, sorted by their ranges. */
export async function readLocal(
  db: Db,
  upload: number,
  path: string,
  symbol: string,
): Promise<StoredOccurrence[]> {
  const near = await readParts(db, upload, path, sql`locals @> array[${localKey(symbol)}::integer]`);
  return near.filter((one) => one[4] === symbol);
}

/** Returns the first documents of an upload, by path, with their occurrences; with `outside`, those that are not below this directory. */
export async function readFirstDocuments(
  db: Db,
  upload: number,
  limit: number,
  outside: string | null,
): Promise<{ readonly path: string; readonly occurrences: StoredOccurrence[] }[]> {
  const { rows } = await sql<{ path: string }>`
    select distinct path from index_documents
    where upload_id = ${upload} and path <> '' and not coalesce(starts_with(path, ${outside}), false)
    order by path limit ${limit}
  `.execute(db);
  const documents = [];
  for (const { path } of rows) documents.push({ path, occurrences: await readOccurrences(db, upload, path) });
  return documents;
}
