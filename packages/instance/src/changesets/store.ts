import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { Publication } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { BlobStore } from '../blobs/store.ts';
import type { Db } from '../db/connect.ts';
import { shortName } from './derive.ts';
import { changesetBranchDuplicate } from './errors.ts';

/** What a changeset shall be, without what only one kind has. */
interface SpecOwner {
  readonly creator: string;
  readonly specId: number | null;
  readonly workspaceId: number | null;
  readonly repository: string;
}

/** A changeset spec that is stored: its `diff` is a blob. */
export interface NewBranchSpec extends SpecOwner {
  readonly kind: 'branch';
  readonly baseRef: string;
  readonly baseCommit: string;
  readonly headRef: string;
  readonly title: string;
  readonly body: string;
  readonly message: string;
  readonly authorName: string;
  readonly authorEmail: string;
  readonly diff: string;
  readonly files: number;
  readonly addedLines: number;
  readonly deletedLines: number;
  readonly published: Publication | null;
  /** Whether it is to be made in a fork of the repository. */
  readonly fork: boolean;
}

/** A changeset that was made elsewhere. */
export interface NewExistingSpec extends SpecOwner {
  readonly kind: 'existing';
  readonly externalId: string;
}

export type NewChangesetSpec = NewBranchSpec | NewExistingSpec;

/** Stores changeset specs. Returns their public ids. */
export async function storeChangesetSpecs(db: Db, specs: readonly NewChangesetSpec[]): Promise<string[]> {
  const ids: string[] = [];
  for (const spec of specs) {
    const { kind, creator, specId, workspaceId, repository } = spec;
    const branch = kind === 'branch' ? spec : null;
    const published = branch === null || branch.published === null ? null : JSON.stringify(branch.published);
    const { rows } = await sql<{ id: string }>`
      insert into changeset_specs (creator, spec_id, workspace_id, kind, repository, external_id, base_ref, base_commit, head_ref,
        title, body, message, author_name, author_email, diff, files, added_lines, deleted_lines, published, fork)
      values (${creator}, ${specId}, ${workspaceId}, ${kind}, ${repository}, ${kind === 'existing' ? spec.externalId : null},
        ${branch?.baseRef ?? null}, ${branch?.baseCommit ?? null}, ${branch?.headRef ?? null},
        ${branch?.title ?? null}, ${branch?.body ?? null}, ${branch?.message ?? null}, ${branch?.authorName ?? null},
        ${branch?.authorEmail ?? null}, ${branch?.diff ?? null}, ${branch?.files ?? null}, ${branch?.addedLines ?? null}, ${branch?.deletedLines ?? null},
        ${published}::jsonb, ${branch?.fork ?? false})
      returning public_id as id
    `.execute(db);
    ids.push(...rows.map(({ id }) => id));
  }
  return ids;
}

/** Stores the bytes of a diff, and returns the digest of the blob. */
export async function storeDiff(blobs: BlobStore, diff: Uint8Array): Promise<string> {
  const digest = `sha256:${createHash('sha256').update(diff).digest('hex')}`;
  if (!(await blobs.has(digest))) await blobs.write(digest, Readable.from([Buffer.from(diff)]));
  return digest;
}

/** Checks that no two changeset specs of a batch spec have the same branch. Errors: `changeset_branch_duplicate`. */
export async function requireOwnBranches(db: Db, specId: number): Promise<void> {
  const { rows } = await sql<{ repository: string; ref: string }>`
    select repository, head_ref as ref from changeset_specs where spec_id = ${specId} and kind = 'branch'
    group by repository, head_ref having count(*) > 1 limit 1
  `.execute(db);
  if (rows[0]) throw changesetBranchDuplicate(shortName(rows[0].ref), rows[0].repository);
}
