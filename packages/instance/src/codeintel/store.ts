import { posix } from 'node:path';
import { type Document, indexInvalid, isDefinition, isLocal, rangeOf, readIndex } from '@fumehood/scip';
import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';

/** What an index is of. */
export interface IndexPlace {
  readonly repository: string;
  readonly commit: string;
  /** From the repository's top; paths in the index are from there. */
  readonly root: string;
  readonly indexer: string;
  readonly indexerVersion: string;
  readonly jobId: number;
}

/** `[line, character, end line, end character, symbol, 1 where it is a definition]`, all numbers from 0. */
export type StoredOccurrence = [number, number, number, number, string, 0 | 1];

/** Definitions are written this many at a time. */
const batch = 1_000;

/**
 * Reads an index from a stream into the database, in the place of an earlier one, within the caller's transaction. Returns its
 * number. Errors: `index_invalid`, and those of the stream.
 */
export async function storeIndex(
  tx: Db,
  place: IndexPlace,
  index: AsyncIterable<Uint8Array>,
): Promise<number> {
  const id = await replaceUpload(tx, place);
  const counts = { documents: 0, occurrences: 0, symbols: 0 };
  for await (const part of readIndex(index)) {
    if (part.kind === 'external') counts.symbols += 1;
    if (part.kind !== 'document') continue;
    const { document } = part;
    counts.documents += 1;
    counts.occurrences += document.occurrences.length;
    counts.symbols += document.symbols.length;
    const path = posix.join(place.root, document.relativePath);
    // Of a file outside of the repository, a library's say, nothing can be shown.
    if (!path.startsWith('../') && !path.startsWith('/')) await storeDocument(tx, id, path, document);
  }
  await sql`
    update uploads set documents = ${counts.documents}, occurrences = ${counts.occurrences}, symbols = ${counts.symbols}
    where id = ${id}
  `.execute(tx);
  return id;
}

/** The new row, alone of its place: who else uploads to it waits. */
async function replaceUpload(tx: Db, place: IndexPlace): Promise<number> {
  const { repository, commit, root, indexer, indexerVersion, jobId } = place;
  const key = JSON.stringify([repository, commit, root, indexer]);
  await sql`select pg_advisory_xact_lock(hashtextextended(${key}, 0))`.execute(tx);
  await sql`
    delete from uploads
    where repository = ${repository} and commit = ${commit} and root = ${root} and indexer = ${indexer}
  `.execute(tx);
  const { rows } = await sql<{ id: number }>`
    insert into uploads (repository, commit, root, indexer, indexer_version, job_id)
    values (${repository}, ${commit}, ${root}, ${indexer}, ${indexerVersion}, ${jobId})
    returning id
  `.execute(tx);
  return (rows[0] as { id: number }).id;
}

async function storeDocument(tx: Db, id: number, path: string, document: Document): Promise<void> {
  const occurrences = document.occurrences.map((occurrence): StoredOccurrence => {
    const { start, end } = rangeOf(occurrence);
    const definition = isDefinition(occurrence) ? 1 : 0;
    return [start.line, start.character, end.line, end.character, occurrence.symbol, definition];
  });
  // Not every indexer sorts.
  occurrences.sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2] || a[3] - b[3]);
  const json = JSON.stringify(occurrences);
  // PostgreSQL's text holds every character but this one.
  if (path.includes('\0') || json.includes('\\u0000')) throw indexInvalid('a name holds a NUL');
  // A path that occurs twice is one document in two parts.
  await sql`
    insert into upload_documents values (${id}, ${path}, ${json}::jsonb)
    on conflict (upload_id, path) do update
      set occurrences = upload_documents.occurrences || excluded.occurrences
  `.execute(tx);
  const definitions = occurrences.filter(([, , , , symbol, isOne]) => isOne === 1 && !isLocal(symbol));
  for (let at = 0; at < definitions.length; at += batch) {
    const part = definitions.slice(at, at + batch);
    await sql`
      insert into upload_definitions
      select ${id}, symbol, ${path}, line, character
      from unnest(${part.map((one) => one[4])}::text[], ${part.map((one) => one[0])}::int[],
                  ${part.map((one) => one[1])}::int[]) as defined (symbol, line, character)
    `.execute(tx);
  }
}
