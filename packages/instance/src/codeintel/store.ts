import { posix } from 'node:path';
import { spendUploadToken, type UploadGrant } from '../auth/upload.ts';
import type { Db } from '../db/connect.ts';
import { transaction } from '../db/transaction.ts';
import { forbidden, leaseLost } from '../errors.ts';
import { mirrorIfAny } from '../repos/commit-files.ts';
import type { Mirrors } from '../repos/mirrors.ts';
import { recordUpload } from '../queue/queue.ts';
import { lockLeasedJob } from '../queue/sql/fence.ts';
import { type IndexDocuments, storeDocuments } from './documents.ts';
import { type IndexLimits, indexLimits, maxPathBytes } from './limits.ts';
import { insertUploadDocuments } from './sql/documents.ts';
import { type IndexPlace, replaceUpload, saveCounts } from './sql/uploads.ts';
import { SourceTexts } from './texts.ts';

/** An upload is given its documents this many at a time. */
const batchSize = 5_000;

/** What an index is of, without who sent it. */
export type IndexSubject = Omit<IndexPlace, 'jobId' | 'userId'>;

/** Whoever sends an index: an attempt of a job, or a person, who may name a job of theirs. */
export type IndexSender =
  | { readonly grant: UploadGrant }
  | { readonly userId: number; readonly jobId: number | null };

interface StoreOptions {
  readonly limits?: IndexLimits;
  /** Have the texts by which documents are converted that count characters in other units than UTF-16. */
  readonly mirrors?: Mirrors;
  /** Runs in the transaction. */
  readonly also?: (tx: Db) => Promise<void>;
}

/**
 * Stores an index that has arrived whole. Its documents come first; then a transaction, which commits only if the lease of its job is still valid,
 * makes all of them visible at once in the place of the earlier index. An upload token is used up by that. Returns the upload's number.
 * Errors: `lease_lost`, `forbidden` for a token that another upload has used, `index_invalid`, `index_too_big`, `git_failed`, and those of
 * the stream.
 */
export async function storeUpload(
  db: Db,
  sender: IndexSender,
  subject: IndexSubject,
  index: AsyncIterable<Uint8Array>,
  options: StoreOptions = {},
): Promise<number> {
  const { mirrors, limits = indexLimits } = options;
  const openMirror = async () => (mirrors ? await mirrorIfAny({ db, mirrors }, subject.repository) : null);
  const texts = new SourceTexts(openMirror, subject.commit, subject.root);
  const documents = await storeDocuments(db, index, texts, limits);
  return await transaction(db, async (tx) => {
    await options.also?.(tx);
    if (!('grant' in sender)) return await storeIndex(tx, { ...subject, ...sender }, documents);
    const { grant } = sender;
    const id = await storeIndex(tx, { ...subject, jobId: grant.jobId, userId: null }, documents);
    const job = await lockLeasedJob(tx, grant);
    if (!job) throw leaseLost(grant.jobId);
    if (grant.root !== null && !(await spendUploadToken(tx, grant))) throw forbidden('invalid token');
    await recordUpload(tx, job, id);
    return id;
  });
}

/** Puts an index whose documents are stored in the place of an earlier one of the same commit, root and indexer; returns the upload's number. */
async function storeIndex(
  tx: Db,
  place: IndexPlace,
  { documents, externals, counts }: IndexDocuments,
): Promise<number> {
  const id = await replaceUpload(tx, place);
  for (let at = 0; at < documents.length; at += batchSize) {
    const batch = documents.slice(at, at + batchSize).flatMap((document) => {
      const path = document.path === null ? null : posix.join(place.root, document.path);
      return path !== null && isStorable(path) ? [{ path, id: document.id }] : [];
    });
    await insertUploadDocuments(tx, id, batch);
  }
  // No file has this path.
  await insertUploadDocuments(
    tx,
    id,
    externals.map((one) => ({ path: '', id: one.id })),
  );
  await saveCounts(tx, id, counts);
  return id;
}

/** Returns whether a document is shown at a path. A file outside of the repository, such as a library's, cannot be shown. */
function isStorable(path: string): boolean {
  const isInside = path !== '..' && !path.startsWith('../') && !path.startsWith('/');
  return isInside && Buffer.byteLength(path) <= maxPathBytes;
}
