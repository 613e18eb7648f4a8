import { posix } from 'node:path';
import { type Document, isDefinition, isLocal, rangeOf, readIndex } from '@fumehood/scip';
import { spendUploadToken, type UploadGrant } from '../auth/upload.ts';
import type { Db } from '../db/connect.ts';
import { transaction } from '../db/transaction.ts';
import { forbidden, leaseLost } from '../errors.ts';
import { recordUpload } from '../queue/queue.ts';
import { lockLeasedJob } from '../queue/sql/fence.ts';
import { insertDefinitions, insertDocument, type StoredOccurrence } from './sql/documents.ts';
import { type IndexPlace, replaceUpload, saveCounts } from './sql/uploads.ts';

/** Longest path of a document that is stored, bytes. */
const maxPathBytes = 2_600;

/**
 * Stores an index while it arrives, in a transaction that commits only if the lease of its job is still valid then, so that the
 * index is stored, decoded and visible at once, or not at all. An upload token is used up by that. Returns the upload's number.
 * Errors: `lease_lost`, `forbidden` for a token that another upload has used, `index_invalid`, and those of the stream.
 */
export async function storeUpload(
  db: Db,
  grant: UploadGrant,
  place: Omit<IndexPlace, 'jobId'>,
  index: AsyncIterable<Uint8Array>,
): Promise<number> {
  return await transaction(db, async (tx) => {
    const id = await storeIndex(tx, { ...place, jobId: grant.jobId }, index);
    const job = await lockLeasedJob(tx, grant);
    if (!job) throw leaseLost(grant.jobId);
    if (grant.root !== null && !(await spendUploadToken(tx, grant))) throw forbidden('invalid token');
    await recordUpload(tx, job, id);
    return id;
  });
}

/** Stores an index in the place of an earlier one of the same commit, root and indexer; returns the upload's number. */
async function storeIndex(tx: Db, place: IndexPlace, index: AsyncIterable<Uint8Array>): Promise<number> {
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
    if (isStorable(path)) await storeDocument(tx, id, path, document);
  }
  await saveCounts(tx, id, counts);
  return id;
}

/**
 * Returns whether a document's path is stored. A file outside of the repository, such as a library's, cannot be shown; no file has a
 * NUL in its name; and a key of PostgreSQL has at most 2,704 bytes.
 */
function isStorable(path: string): boolean {
  const isInside = path !== '..' && !path.startsWith('../') && !path.startsWith('/');
  return isInside && !path.includes('\0') && Buffer.byteLength(path) <= maxPathBytes;
}

async function storeDocument(tx: Db, id: number, path: string, document: Document): Promise<void> {
  // PostgreSQL's text type holds every character but NUL, which a program may have in a name: such names are left out.
  const storable = document.occurrences.filter(({ symbol }) => !symbol.includes('\0'));
  const occurrences = storable.map((occurrence): StoredOccurrence => {
    const { start, end } = rangeOf(occurrence);
    const definition = isDefinition(occurrence) ? 1 : 0;
    return [start.line, start.character, end.line, end.character, occurrence.symbol, definition];
  });
  // Not every indexer sorts.
  occurrences.sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2] || a[3] - b[3]);
  await insertDocument(tx, id, path, JSON.stringify(occurrences));
  const definitions = occurrences.filter(
    ([, , , , symbol, isDefined]) => isDefined === 1 && !isLocal(symbol),
  );
  await insertDefinitions(tx, id, path, definitions);
}
