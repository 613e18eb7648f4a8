import { posix } from 'node:path';
import { isDefinition, isLocal, type Occurrence, rangeOf, readIndex } from '@fumehood/scip';
import { spendUploadToken, type UploadGrant } from '../auth/upload.ts';
import type { Db } from '../db/connect.ts';
import { transaction } from '../db/transaction.ts';
import { forbidden, leaseLost } from '../errors.ts';
import { recordUpload } from '../queue/queue.ts';
import { lockLeasedJob } from '../queue/sql/fence.ts';
import { indexTooBig } from './errors.ts';
import { type IndexLimits, indexLimits } from './limits.ts';
import { extendDocument, insertDefinitions, insertDocument, type StoredOccurrence } from './sql/documents.ts';
import { type IndexPlace, replaceUpload, saveCounts } from './sql/uploads.ts';

/** Longest path of a document that is stored, bytes. */
const maxPathBytes = 2_600;

/**
 * Stores an index that has arrived whole, in a transaction that commits only if the lease of its job is still valid then, so that
 * the index is stored, decoded and visible at once, or not at all. An upload token is used up by that. Returns the upload's number.
 * Errors: `lease_lost`, `forbidden` for a token that another upload has used, `index_invalid`, `index_too_big`, and those of the
 * stream.
 */
export async function storeUpload(
  db: Db,
  grant: UploadGrant,
  place: Omit<IndexPlace, 'jobId'>,
  index: AsyncIterable<Uint8Array>,
  limits: IndexLimits = indexLimits,
): Promise<number> {
  return await transaction(db, async (tx) => {
    const id = await storeIndex(tx, { ...place, jobId: grant.jobId }, index, limits);
    const job = await lockLeasedJob(tx, grant);
    if (!job) throw leaseLost(grant.jobId);
    if (grant.root !== null && !(await spendUploadToken(tx, grant))) throw forbidden('invalid token');
    await recordUpload(tx, job, id);
    return id;
  });
}

/** Stores an index in the place of an earlier one of the same commit, root and indexer; returns the upload's number. */
async function storeIndex(
  tx: Db,
  place: IndexPlace,
  index: AsyncIterable<Uint8Array>,
  limits: IndexLimits,
): Promise<number> {
  const id = await replaceUpload(tx, place);
  const counts = { documents: 0, occurrences: 0, symbols: 0 };
  const repeated = new RepeatedDocuments(limits);
  let document = new OccurrenceList(limits);
  for await (const part of readIndex(index)) {
    if (part.kind === 'external') counts.symbols += 1;
    if (part.kind === 'occurrence') {
      counts.occurrences += 1;
      if (counts.occurrences > limits.occurrences) throw indexTooBig('occurrences', limits.occurrences);
      document.add(part.occurrence);
    }
    if (part.kind !== 'document') continue;
    const { definitions, json } = document;
    document = new OccurrenceList(limits);
    counts.documents += 1;
    counts.symbols += part.symbols;
    if (counts.documents > limits.documents) throw indexTooBig('documents', limits.documents);
    const path = posix.join(place.root, part.relativePath);
    if (!isStorable(path)) continue;
    if (!(await insertDocument(tx, id, path, json))) repeated.add(path, json);
    await insertDefinitions(tx, id, path, definitions);
  }
  const { documentBytes } = limits;
  for (const [path, parts] of repeated.parts)
    if (!(await extendDocument(tx, id, path, parts, documentBytes)))
      throw indexTooBig('bytes in one document', documentBytes);
  await saveCounts(tx, id, counts);
  return id;
}

/**
 * The occurrences of documents whose path has occurred before: a path that an index has twice is one document in parts. They are
 * added to the first part at the end and once, because PostgreSQL writes the whole document again for each addition.
 */
class RepeatedDocuments {
  /** The JSON of each part, by path. */
  readonly parts = new Map<string, string[]>();
  readonly #limits: IndexLimits;
  #bytes = 0;

  constructor(limits: IndexLimits) {
    this.#limits = limits;
  }

  add(path: string, json: string): void {
    // Each part costs a little even if it is empty.
    this.#bytes += json.length + path.length + 100;
    const { repeatedBytes } = this.#limits;
    if (this.#bytes > repeatedBytes) throw indexTooBig('bytes in documents of one path', repeatedBytes);
    const parts = this.parts.get(path);
    if (parts) parts.push(json);
    else this.parts.set(path, [json]);
  }
}

/** The occurrences of one document, as they come. */
class OccurrenceList {
  /** Those that define a symbol that other documents know. */
  readonly definitions: StoredOccurrence[] = [];
  readonly #parts: string[] = [];
  readonly #max: number;
  #bytes = 0;

  constructor({ documentBytes }: IndexLimits) {
    this.#max = documentBytes;
  }

  /** Errors: `index_invalid`, `index_too_big`. */
  add(occurrence: Occurrence): void {
    const { start, end } = rangeOf(occurrence);
    const { symbol } = occurrence;
    // PostgreSQL's text type holds every character but NUL, which a program may have in a name: such names are left out.
    if (symbol.includes('\0')) return;
    const defined = isDefinition(occurrence) ? 1 : 0;
    const stored: StoredOccurrence = [start.line, start.character, end.line, end.character, symbol, defined];
    const json = JSON.stringify(stored);
    this.#bytes += json.length + 1;
    if (this.#bytes > this.#max) throw indexTooBig('bytes in one document', this.#max);
    this.#parts.push(json);
    if (defined === 1 && !isLocal(symbol)) this.definitions.push(stored);
  }

  get json(): string {
    return `[${this.#parts.join(',')}]`;
  }
}

/**
 * Returns whether a document's path is stored. A file outside of the repository, such as a library's, cannot be shown; no file has a
 * NUL in its name; and a key of PostgreSQL has at most 2,704 bytes.
 */
function isStorable(path: string): boolean {
  const isInside = path !== '..' && !path.startsWith('../') && !path.startsWith('/');
  return isInside && !path.includes('\0') && Buffer.byteLength(path) <= maxPathBytes;
}
