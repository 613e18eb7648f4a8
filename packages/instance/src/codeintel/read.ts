import type { UploadRecord } from '@fumehood/protocol';
import { isLocal } from '@fumehood/scip';
import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';
import type { StoredOccurrence } from './store.ts';

/** A place in a repository; numbers from 0. */
export interface Location {
  readonly path: string;
  readonly line: number;
  readonly character: number;
  readonly symbol: string;
}

export async function readUpload(db: Db, id: number): Promise<UploadRecord | null> {
  const { rows } = await sql<UploadRecord>`
    select id, repository, commit, root, indexer, indexer_version as "indexerVersion", documents, occurrences, symbols
    from uploads where id = ${id}
  `.execute(db);
  return rows[0] ?? null;
}

/**
 * Where what stands at a position is defined: of every occurrence around the position, the narrowest first, each place once.
 * Empty when nothing is there or it is defined elsewhere.
 */
export async function definitionsAt(
  db: Db,
  id: number,
  at: { readonly path: string; readonly line: number; readonly character: number },
): Promise<Location[]> {
  const document = await readDocument(db, id, at.path);
  const around = document.filter((one) => holds(one, at.line, at.character)).sort(narrowerFirst);
  const found = new Map<string, Location>();
  for (const [, , , , symbol] of around) {
    const places = isLocal(symbol)
      ? definedHere(document, at.path, symbol)
      : await definedAnywhere(db, id, [symbol]);
    for (const place of places) found.set(`${place.path}:${place.line}:${place.character}`, place);
  }
  return [...found.values()];
}

/** Documents that are looked through for an example. */
const exampleDocuments = 50;

/** The first reference, in the order of paths and lines, to what is defined in another document; else in this one. */
export async function exampleOf(
  db: Db,
  id: number,
): Promise<{ readonly query: Location; readonly definition: Location } | null> {
  const { rows } = await sql<{ path: string; occurrences: StoredOccurrence[] }>`
    select path, occurrences from upload_documents where upload_id = ${id} order by path limit ${exampleDocuments}
  `.execute(db);
  let near: { query: Location; definition: Location } | null = null;
  for (const { path, occurrences } of rows) {
    const references = occurrences.filter(
      // What ends with a slash is a file or a namespace: as an answer it says little.
      ([, , , , symbol, isOne]) => isOne === 0 && !isLocal(symbol) && !symbol.endsWith('/'),
    );
    const symbols = [...new Set(references.map(([, , , , symbol]) => symbol))];
    const definitions = new Map(
      (await definedAnywhere(db, id, symbols)).map((place) => [place.symbol, place]),
    );
    for (const [line, character, , , symbol] of references) {
      const definition = definitions.get(symbol);
      if (!definition) continue;
      const query = { path, line, character, symbol };
      if (definition.path !== path) return { query, definition };
      near ??= { query, definition };
    }
  }
  return near;
}

async function readDocument(db: Db, id: number, path: string): Promise<StoredOccurrence[]> {
  const { rows } = await sql<{ occurrences: StoredOccurrence[] }>`
    select occurrences from upload_documents where upload_id = ${id} and path = ${path}
  `.execute(db);
  return rows[0]?.occurrences ?? [];
}

function holds([fromLine, from, toLine, to]: StoredOccurrence, line: number, character: number): boolean {
  const begun = line > fromLine || (line === fromLine && character >= from);
  const over = line > toLine || (line === toLine && character >= to);
  return begun && !over;
}

function narrowerFirst(a: StoredOccurrence, b: StoredOccurrence): number {
  return a[2] - a[0] - (b[2] - b[0]) || a[3] - a[1] - (b[3] - b[1]);
}

function definedHere(document: readonly StoredOccurrence[], path: string, wanted: string): Location[] {
  return document
    .filter(([, , , , symbol, isOne]) => isOne === 1 && symbol === wanted)
    .map(([line, character, , , symbol]) => ({ path, line, character, symbol }));
}

async function definedAnywhere(db: Db, id: number, symbols: readonly string[]): Promise<Location[]> {
  const { rows } = await sql<Location>`
    select path, line, character, symbol from upload_definitions
    where upload_id = ${id} and md5(symbol) = any(select md5(wanted) from unnest(${symbols}::text[]) wanted)
      and symbol = any(${symbols}::text[])
    order by path, line, character
  `.execute(db);
  return rows;
}
