import type { Readable } from 'node:stream';
import { type BatchFile, batchFileBytesMax } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Person } from '../auth/people.ts';
import type { BlobStore } from '../blobs/store.ts';
import type { Db } from '../db/connect.ts';
import { transaction } from '../db/transaction.ts';
import type { JobLease } from '../queue/job.ts';
import type { Staging } from '../staging.ts';
import {
  batchFileNotFound,
  batchFileTooBig,
  batchSpecExecuted,
  batchSpecNotFound,
  tooManyBatchFiles,
} from './errors.ts';
import { requireBatchSpec } from './specs.ts';

/** Most files of a batch spec. */
const filesMax = 1_000;

const record = sql`public_id as id, path, digest, bytes`;

/** Returns the files that were sent for a batch spec, by path. Errors: `batch_spec_not_found`. */
export async function listBatchFiles(db: Db, person: Person, spec: string): Promise<BatchFile[]> {
  const { id } = await requireBatchSpec(db, person, spec);
  const { rows } = await sql<BatchFile>`
    select ${record} from batch_files where spec_id = ${id} order by path collate "C"
  `.execute(db);
  return rows;
}

/** Returns a file of a batch spec by its id or its path. Errors: `batch_spec_not_found`, `batch_file_not_found`. */
export async function readBatchFile(db: Db, person: Person, spec: string, file: string): Promise<BatchFile> {
  const { id } = await requireBatchSpec(db, person, spec);
  const { rows } = await sql<BatchFile>`
    select ${record} from batch_files where spec_id = ${id} and (public_id = ${file} or path = ${file})
  `.execute(db);
  if (!rows[0]) throw batchFileNotFound(file);
  return rows[0];
}

/** A file that the steps of a batch spec mount. */
interface NewBatchFile {
  /** From the directory of the batch spec. */
  readonly path: string;
  /** It counts for the keys of cached results. */
  readonly modifiedAt: Date;
}

/** What the files of batch specs are stored with. */
interface BatchFileDeps {
  readonly db: Db;
  readonly blobs: BlobStore;
  readonly staging: Staging;
}

/**
 * Stores a file that steps mount, in place of an earlier one of this path, once it has arrived whole. Only who made the batch spec may, and admins,
 * and nobody once it is executed. Errors: `batch_spec_not_found`, `batch_file_too_big`, `batch_spec_executed`, `too_many_batch_files`.
 */
export async function storeBatchFile(
  { db, blobs, staging }: BatchFileDeps,
  person: Person,
  spec: string,
  { path, modifiedAt }: NewBatchFile,
  content: Readable,
): Promise<BatchFile> {
  await using staged = await staging.write(content, batchFileBytesMax, batchFileTooBig);
  const { digest } = staged;
  await requireBatchSpec(db, person, spec);
  await blobs.keep(staged);
  const bytes = await blobs.size(digest);
  return await transaction(db, async (tx) => {
    const { rows: specs } = await sql<{ id: number; isMine: boolean; isExecuted: boolean }>`
      select id, creator = ${person.name} or ${person.admin} as "isMine", executed_at is not null as "isExecuted"
      from batch_specs where public_id = ${spec} for update
    `.execute(tx);
    if (!specs[0]?.isMine) throw batchSpecNotFound(spec);
    if (specs[0].isExecuted) throw batchSpecExecuted(spec);
    const { id } = specs[0];
    const { rows } = await sql<BatchFile>`
      insert into batch_files (spec_id, path, digest, bytes, modified_at)
      select ${id}, ${path}, ${digest}, ${bytes}, ${modifiedAt}
      where (select count(*) from batch_files where spec_id = ${id} and path <> ${path}) < ${filesMax}
      on conflict (spec_id, path) do update set digest = excluded.digest, bytes = excluded.bytes, modified_at = excluded.modified_at
      returning ${record}
    `.execute(tx);
    if (!rows[0]) throw tooManyBatchFiles(filesMax);
    return rows[0];
  });
}

/** Returns a file of the batch spec whose workspace the job of a lease runs. Errors: `batch_file_not_found`, also for another batch spec. */
export async function fileOfJob(
  db: Db,
  { jobId }: JobLease,
  { spec, file }: { readonly spec: string; readonly file: string },
): Promise<{ readonly digest: string; readonly bytes: number }> {
  const { rows } = await sql<{ digest: string; bytes: number }>`
    select digest, bytes::int from batch_files file join batch_specs spec on spec.id = file.spec_id
    where spec.public_id = ${spec} and file.public_id = ${file}
      and exists (select from batch_workspaces where spec_id = spec.id and job_id = ${jobId})
  `.execute(db);
  if (!rows[0]) throw batchFileNotFound(file);
  return rows[0];
}
