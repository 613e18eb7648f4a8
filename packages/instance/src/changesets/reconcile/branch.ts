import { FumehoodError, type Spawn } from '@fumehood/base';
import { buildCommit, type Mirror, pushBranch, pushedRefs, type RemoteHttp } from '@fumehood/git';
import { sql } from 'kysely';
import type { BlobStore } from '../../blobs/store.ts';
import type { HostFork } from '../../code-hosts/code-host.ts';
import { hostNotReady } from '../../code-hosts/errors.ts';
import type { Db } from '../../db/connect.ts';
import { mirrorOf, resolveRevision } from '../../repos/commit-files.ts';
import type { Mirrors } from '../../repos/mirrors.ts';
import { httpTo, openRemote } from '../../repos/remote-http.ts';
import type { Vault } from '../../secrets/vault.ts';
import { readDiffBlob } from '../build.ts';
import { type ClaimedChangeset, storeProgress } from './claims.ts';
import type { HostDeps } from './host.ts';

export interface BranchDeps extends HostDeps {
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
  /** Whether it is to be made in a fork. */
  readonly fork: boolean;
  /** Seconds since 1970: the changeset spec is as old as its commit, so that a repetition makes the same commit. */
  readonly at: number;
}

/**
 * Makes the commit of a changeset and pushes its branch. The commit is written down before it is pushed: whoever repeats this after the process has died knows that the branch
 * may be there already. Returns the name of the fork that has the branch; null: the repository itself has it. Errors: those of the code host, and those of `buildCommit`, `pushBranch`, `mirrorOf`, `resolveRevision` and `openRemote`.
 */
export async function publishBranch(
  deps: BranchDeps,
  claimed: ClaimedChangeset,
  signal: AbortSignal,
): Promise<string | null> {
  const { db, vault, mirrors, blobs, spawn } = deps;
  const { repository, headRef } = claimed;
  const { rows } = await sql<BranchSpec>`
    select base_commit as base, diff, author_name as "authorName", author_email as "authorEmail", message, fork,
      floor(extract(epoch from created_at))::bigint as at
    from changeset_specs where id = ${claimed.specId} and kind = 'branch'
  `.execute(db);
  const [spec] = rows;
  if (!spec || headRef === null) return null;
  const mirror = await mirrorOf(db, mirrors, repository);
  const base = await resolveRevision(mirror, spec.base);
  const fork = await forkOf(deps, claimed, spec.fork);
  const remote = fork ? httpTo(fork.url, fork, signal) : await openRemote(db, vault, repository, signal);
  const { commit, pack } = await buildCommit(spawn, mirror, {
    ...spec,
    ...(fork && { known: await knownTo(fork, remote, mirror) }),
    base,
    diff: await readDiffBlob(blobs, spec.diff),
  });
  signal.throwIfAborted();
  await storeProgress(db, claimed, sql`pushing = ${commit}, fork = ${fork?.name ?? null}`);
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
  return fork?.name ?? null;
}

/** Returns the fork that a changeset is made in; null: none. One that was pushed stays where it is. */
async function forkOf(
  { hostOf }: HostDeps,
  { repository, commit, pushing, fork }: ClaimedChangeset,
  isWanted: boolean,
): Promise<HostFork | null> {
  if ((commit ?? pushing) !== null && fork === null) return null;
  const host = await hostOf(repository);
  return host && (fork !== null || isWanted || host.forks) ? await host.fork() : null;
}

/** Most branches of a fork that are looked for in the mirror. */
const branchesMax = 20;

/**
 * Returns commits that both a fork and the mirror have: a fork may be behind the repository. A new one that the git server does not show yet
 * is not ready.
 */
async function knownTo(fork: HostFork, remote: RemoteHttp, mirror: Mirror): Promise<string[]> {
  const refs = await pushedRefs(remote).catch((error: unknown) => {
    if (error instanceof FumehoodError && error.code === 'remote_refused')
      throw hostNotReady('of the fork', `${fork.name}: ${error.message}`);
    throw error;
  });
  if (refs.size === 0) throw hostNotReady('of the fork', `${fork.name} has no branches`);
  const known: string[] = [];
  for (const commit of [...new Set(refs.values())].slice(0, branchesMax))
    if (await resolveRevision(mirror, commit).catch(() => null)) known.push(commit);
  return known;
}
