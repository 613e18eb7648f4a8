import { createHash } from 'node:crypto';
import { readDocumentHead, readIndex } from '@fumehood/scip';
import type { Db } from '../db/connect.ts';
import { transaction } from '../db/transaction.ts';
import { decodeDocument } from './decode.ts';
import { indexTooBig } from './errors.ts';
import { ExternalSymbols } from './externals.ts';
import type { IndexLimits } from './limits.ts';
import { findDocuments, insertDocuments, type NewDocument, type StoredDocument } from './sql/documents.ts';
import type { IndexCounts } from './sql/uploads.ts';
import type { SourceTexts } from './texts.ts';

/** A document is stored anew when this changes: the form of what is stored. */
const formVersion = '3';
/** Documents are looked up, and stored, this many at a time, or fewer when they are large. */
const batchDocuments = 100;
const batchBytes = 4 * 2 ** 20;
/** Bytes of the paths of an index, all together. */
const pathBytesMax = 128 * 2 ** 20;

/** The documents of an index, which are stored. */
export interface IndexDocuments {
  readonly documents: readonly StoredDocument[];
  /** Documents without a file: what the index says of symbols of other projects. */
  readonly externals: readonly StoredDocument[];
  readonly counts: IndexCounts;
}

/**
 * Stores the documents of an index that are not stored yet. Nobody sees them before an upload is said to have them; those that no upload is ever
 * said to have are removed after a day. Errors: `index_invalid`, `index_too_big`, and those of the stream.
 */
export async function storeDocuments(
  db: Db,
  index: AsyncIterable<Uint8Array>,
  texts: SourceTexts,
  limits: IndexLimits,
): Promise<IndexDocuments> {
  const documents: StoredDocument[] = [];
  const counts = { documents: 0, occurrences: 0, symbols: 0 };
  const externals = new ExternalSymbols();
  let batch: Uint8Array[] = [];
  let bytes = 0;
  let pathBytes = 0;
  /** PostgreSQL stores one batch while the next one is read. */
  let storing = Promise.resolve();
  const flush = async () => {
    if (batch.length === 0) return;
    const { found, missing } = await prepareBatch(db, batch, texts);
    batch = [];
    bytes = 0;
    await storing;
    storing = storeBatch(db, missing).then((stored) => {
      for (const document of [...found, ...stored]) {
        counts.occurrences += document.occurrences;
        counts.symbols += document.symbols;
        if (counts.occurrences > limits.occurrences) throw indexTooBig('occurrences', limits.occurrences);
        pathBytes += document.path?.length ?? 0;
        if (pathBytes > pathBytesMax) throw indexTooBig('bytes of paths', pathBytesMax);
        documents.push(document);
      }
    });
    storing.catch(() => {}); // whoever waits for it next has its error
  };
  const tooBig = () => indexTooBig('bytes in one document', limits.documentBytes);
  try {
    for await (const part of readIndex(index, limits.documentBytes, tooBig)) {
      if (part.kind === 'external') {
        counts.symbols += 1;
        if (part.symbol !== null) externals.add(part.symbol);
      }
      if (part.kind !== 'document') continue;
      counts.documents += 1;
      if (counts.documents > limits.documents) throw indexTooBig('documents', limits.documents);
      batch.push(part.bytes);
      bytes += part.bytes.length;
      if (batch.length >= batchDocuments || bytes >= batchBytes) await flush();
    }
    await flush();
  } finally {
    await storing;
  }
  return { documents, externals: await storeExternals(db, externals), counts };
}

/** Stores what an index says of symbols of other projects. */
async function storeExternals(db: Db, externals: ExternalSymbols): Promise<StoredDocument[]> {
  const stored: StoredDocument[] = [];
  for (const document of externals.documents()) {
    const found = await findDocuments(db, [document.sha256]);
    stored.push(...(found.length > 0 ? found : await storeBatch(db, [document])));
  }
  return stored;
}

/** Decodes those documents of a batch which are not stored yet. */
async function prepareBatch(
  db: Db,
  batch: readonly Uint8Array[],
  texts: SourceTexts,
): Promise<{ found: StoredDocument[]; missing: NewDocument[] }> {
  const heads = batch.map(readDocumentHead);
  const files = await texts.find(heads);
  const byHash = new Map(
    batch.map((bytes, at) => {
      const source = files[at];
      // Where characters are converted, what is stored depends on the text of the file too.
      const hash = createHash('sha256')
        .update(formVersion + (source?.file?.object ?? ''))
        .update(bytes);
      return [hash.digest('hex'), { bytes, source: source ?? null }] as const;
    }),
  );
  const hashes = [...byHash.keys()];
  const found = await findDocuments(
    db,
    hashes.map((hash) => Buffer.from(hash, 'hex')),
  );
  for (const { sha256 } of found) byHash.delete(sha256.toString('hex'));
  const missing: NewDocument[] = [];
  // In one order, so that two processes that store the same documents wait for each other and not in a circle.
  const wanted = [...byHash].sort(([a], [b]) => (a < b ? -1 : 1));
  const columns = texts.columns(wanted.map(([, { source }]) => source));
  for (const [hash, { bytes }] of wanted) {
    const { value } = await columns.next();
    missing.push(await decodeDocument(Buffer.from(hash, 'hex'), bytes, value ?? null));
  }
  return { found, missing };
}

/** Stores documents; those that were stored in the meantime stay. Returns all. */
async function storeBatch(db: Db, documents: readonly NewDocument[]): Promise<StoredDocument[]> {
  if (documents.length === 0) return [];
  return await transaction(db, (tx) => insertDocuments(tx, documents));
}
