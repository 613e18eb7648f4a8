import type { Clock } from '@fumehood/base';
import type { Mirror } from '@fumehood/git';
import { createIndexingSchema, type IndexPolicy } from '@fumehood/protocol';
import type { Logger } from 'pino';
import type { Db } from '../db/connect.ts';
import type { QueueKinds } from '../queue/kind.ts';
import { mirrorOf, readCommitTime } from '../repos/commit-files.ts';
import type { Mirrors } from '../repos/mirrors.ts';
import { indexCommit } from './index-commit.ts';
import { matches } from './pattern.ts';
import {
  countIndexJobs,
  listIndexPolicies,
  readUnindexedRefs,
  secondsSinceIndexing,
  type UnindexedRef,
} from './records.ts';

interface PolicyDeps {
  readonly db: Db;
  readonly kinds: QueueKinds;
  readonly mirrors: Mirrors;
  readonly clock: Clock;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

/** Commits that one policy has indexed after one sync; the next sync goes on. */
const commitsMax = 50;

/** While so many index jobs of a repository wait or run, policies have no more of its commits indexed. */
const jobsMax = 200;

/** Has the commits of a repository indexed that policies name and nobody has had indexed yet. Never rejects. */
export async function indexByPolicies(deps: PolicyDeps, repository: string): Promise<void> {
  const { db, mirrors, log } = deps;
  try {
    const policies = (await listIndexPolicies(db)).filter((policy) =>
      matches(policy.repositories, repository),
    );
    if (policies.length === 0) return;
    const mirror = await mirrorOf(db, mirrors, repository);
    for (const policy of policies) await apply(deps, repository, mirror, policy);
  } catch (error) {
    log.warn({ error, repository }, 'the commits of a repository could not be indexed after its sync');
  }
}

async function apply(
  deps: PolicyDeps,
  repository: string,
  mirror: Mirror,
  policy: IndexPolicy,
): Promise<void> {
  const { db, clock, log } = deps;
  const refs = (await readUnindexedRefs(db, repository)).filter((ref) => isMeant(policy, ref));
  const commits = new Set<string>();
  for (const { commit } of refs) {
    if (commits.size >= (policy.pauseSeconds > 0 ? 1 : commitsMax)) return;
    if (commits.has(commit)) continue;
    if ((await countIndexJobs(db, repository, jobsMax)) >= jobsMax) return;
    if (policy.maxAgeSeconds !== null) {
      const time = await readCommitTime(mirror, commit);
      if (time === null || clock.now() / 1_000 - time > policy.maxAgeSeconds) continue;
    }
    const seconds = await secondsSinceIndexing(db, repository, policy.name);
    if (policy.pauseSeconds > 0 && seconds !== null && seconds < policy.pauseSeconds) return;
    commits.add(commit);
    const request = createIndexingSchema.parse({ repository, revision: commit, accept: policy.accept });
    try {
      await indexCommit(deps, { tenant: policy.tenant, policy: policy.name }, request);
    } catch (error) {
      // It is recorded for `index status`; the other commits may be in order.
      log.info({ error, repository, commit, policy: policy.name }, 'a commit could not be indexed');
    }
  }
}

/** Returns whether a policy names a branch or a tag. */
function isMeant({ kind, pattern }: IndexPolicy, { name, isDefault }: UnindexedRef): boolean {
  const prefix = kind === 'branch' ? 'refs/heads/' : 'refs/tags/';
  if (!name.startsWith(prefix)) return false;
  if (pattern === null) return kind === 'tag' || isDefault;
  return matches(pattern, name.slice(prefix.length));
}
