import type { Spawn } from '@fumehood/base';
import { buildCommit, pushBranch } from '@fumehood/git';
import { sql } from 'kysely';
import type { BlobStore } from '../../blobs/store.ts';
import type { Db } from '../../db/connect.ts';
import { mirrorOf, resolveRevision } from '../../repos/commit-files.ts';
import type { Mirrors } from '../../repos/mirrors.ts';
import { openRemote } from '../../repos/remote-http.ts';
import type { Vault } from '../../secrets/vault.ts';
import { readDiffBlob } from '../build.ts';
import { type ClaimedChangeset, storeProgress } from './claims.ts';

export interface BranchDeps {
  readonly db: Db;
  readonly vault: Vault;
  readonly mirrors: Mirrors;
  readonly blobs: BlobStore;
  readonly spawn: Spawn;
}

/** What is needed to make the commit of a changeset. */
interface BranchSpec {
  readonly base: string;
  readonly diff: string;
  readonly authorName: string;
  readonly authorEmail: string;
  readonly message: string;
  /** Seconds since 1970: the changeset spec is as old as its commit, so that a repetition makes the same commit. */
  readonly at: number;
}

/**
 * Makes the commit of a changeset and pushes its branch. The commit is written down before it is pushed: whoever repeats this after the process has died knows that the branch
 * may be there already. Errors: those of `buildCommit`, `pushBranch`, `mirrorOf`, `resolveRevision` and `openRemote`.
 */
export async function publishBranch(
  deps: BranchDeps,
  claimed: ClaimedChangeset,
  signal: AbortSignal,
): Promise<void> {
  const { db, vault, mirrors, blobs, spawn } = deps;
  const { repository, headRef } = claimed;
  const { rows } = await sql<BranchSpec>`
    select base_commit as base, diff, author_name as "authorName", author_email as "authorEmail", message,
      floor(extract(epoch from created_at))::bigint as at
    from changeset_specs where id = ${claimed.specId} and kind = 'branch'
  `.execute(db);
  const [spec] = rows;
  if (!spec || headRef === null) return;
  const mirror = await mirrorOf(db, mirrors, repository);
  const base = await resolveRevision(mirror, spec.base);
  const remote = await openRemote(db, vault, repository, signal);
  const { commit, pack } = await buildCommit(spawn, mirror, {
    ...spec,
    base,
    diff: await readDiffBlob(blobs, spec.diff),
  });
  signal.throwIfAborted();
  await storeProgress(db, claimed, sql`pushing = ${commit}`);
  const from = [claimed.commit, claimed.pushing].filter((one) => one !== null);
  await pushBranch(remote, { ref: headRef, from, commit, pack });
  await storeProgress(
    db,
    claimed,
    sql`
      commit = ${commit}, pushing = null, published_at = coalesce(published_at, clock_timestamp()), sync_after = clock_timestamp(),
      publication = case when publication = 'unpublished' then 'pushed' else publication end
    `,
  );
}
