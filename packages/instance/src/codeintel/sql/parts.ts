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
  /** What an indexer wrote of single occurrences, by their numbers in the part. */
  readonly documentation?: Readonly<Record<number, string>>;
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
  documentation: ReadonlyMap<StoredOccurrence, string>,
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
  const documented = occurrences.flatMap((one, at) => {
    const text = documentation.get(one);
    return text === undefined ? [] : [[at, text] as const];
  });
  return {
    firstLine: occurrences[0]?.[0] ?? 0,
    lastLine: occurrences.reduce((last, [, , endLine]) => Math.max(last, endLine), 0),
    locals: symbols.filter(isLocal).map(localKey),
    json: JSON.stringify({
      ...{ symbols, occurrences: rows },
      ...(documented.length > 0 && { documentation: Object.fromEntries(documented) }),
    } satisfies PartContent),
  };
}

const compareRanges = (a: StoredOccurrence, b: StoredOccurrence) =>
  a[0] - b[0] || a[1] - b[1] || a[2] - b[2] || a[3] - b[3];

/** Occurrences of a document, sorted by their ranges, and what the indexer wrote of some of them: Markdown. */
export interface Occurrences {
  readonly occurrences: readonly StoredOccurrence[];
  readonly documentation: ReadonlyMap<StoredOccurrence, string>;
}

type PartRow = { readonly occurrences: PartContent | StoredOccurrence[] };

function decodeParts(rows: readonly PartRow[]): Occurrences {
  const all: StoredOccurrence[] = [];
  const texts = new Map<StoredOccurrence, string>();
  for (const { occurrences: content } of rows) {
    if (!('symbols' in content)) {
      for (const one of content) all.push(one);
      continue;
    }
    const { symbols, occurrences, documentation = {} } = content;
    for (const [
      at,
      [line = 0, character = 0, endLine = 0, endCharacter = 0, symbol = 0, defines, ...whole],
    ] of occurrences.entries()) {
      const one: StoredOccurrence = [
        line,
        character,
        endLine,
        endCharacter,
        symbols[symbol] ?? '',
        defines === 1 ? 1 : 0,
        ...whole,
      ];
      all.push(one);
      const text = documentation[at];
      if (text !== undefined) texts.set(one, text);
    }
  }
  return { occurrences: all.sort(compareRanges), documentation: texts };
}

/** Reads the parts for which a condition holds; of documents that an older build has stored, all. */
async function readParts(
  db: Db,
  upload: number,
  path: string,
  condition: ReturnType<typeof sql>,
): Promise<Occurrences> {
  const { rows } = await sql<PartRow>`
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
export async function readOccurrences(
  db: Db,
  upload: number,
  path: string,
): Promise<readonly StoredOccurrence[]> {
  return (await readParts(db, upload, path, sql`true`)).occurrences;
}

/** Returns the occurrences of a document that are on a line, and others near it. */
export const readOccurrencesNear = (
  db: Db,
  upload: number,
  path: string,
  line: number,
): Promise<Occurrences> => readParts(db, upload, path, sql`first_line <= ${line} and last_line >= ${line}`);

/** Returns the occurrences of a symbol that only its document knows, sorted by their ranges. */
export async function readLocal(
  db: Db,
  upload: number,
  path: string,
  symbol: string,
): Promise<StoredOccurrence[]> {
  const { occurrences } = await readParts(
    db,
    upload,
    path,
    sql`locals @> array[${localKey(symbol)}::integer]`,
  );
  return occurrences.filter((one) => one[4] === symbol);
}

/** Returns the first documents of an upload, by path, with their occurrences; with `outside`, those that are not below this directory. */
export async function readFirstDocuments(
  db: Db,
  upload: number,
  limit: number,
  outside: string | null,
): Promise<{ readonly path: string; readonly occurrences: readonly StoredOccurrence[] }[]> {
  const { rows } = await sql<{ path: string }>`
    select distinct path from index_documents
    where upload_id = ${upload} and path <> '' and not coalesce(starts_with(path, ${outside}), false)
    order by path limit ${limit}
  `.execute(db);
  const documents = [];
  for (const { path } of rows) documents.push({ path, occurrences: await readOccurrences(db, upload, path) });
  return documents;
}
