import { FumehoodError } from '@fumehood/base';
import type { IndexJobSpec } from '@fumehood/index-config';
import { createJobSchema, type createIndexingSchema, digestSchema, type Indexing } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { z } from 'zod';
import type { Db } from '../db/connect.ts';
import { transaction } from '../db/transaction.ts';
import { kindOf, type QueueKinds } from '../queue/kind.ts';
import { enqueue } from '../queue/queue.ts';
import { mirrorOf, resolveRevision } from '../repos/commit-files.ts';
import type { Mirrors } from '../repos/mirrors.ts';
import { requireBroker } from '../secrets/broker.ts';
import { indexJobInvalid } from './errors.ts';
import { chooseSecrets } from './job-secrets.ts';
import { type IndexPlan, planIndexing } from './plan.ts';
import { recordIndexing } from './records.ts';
import { findIndexSettings } from './settings.ts';

interface IndexingDeps {
  readonly db: Db;
  readonly kinds: QueueKinds;
  readonly mirrors: Mirrors;
}

/** Whose jobs index a commit, and the name of the policy that says so; null: somebody asked for it. */
interface IndexingOrigin {
  readonly tenant: string;
  readonly policy: string | null;
}

/**
 * Has a commit indexed: one job for each root and indexer, however often and by whomever it is asked for, unless the earlier one failed. What is
 * refused is recorded, too. Errors: those of `resolveRevision`, `planIndexing` and of a job that cannot be made.
 */
export async function indexCommit(
  deps: IndexingDeps,
  origin: IndexingOrigin,
  request: z.output<typeof createIndexingSchema>,
): Promise<Indexing> {
  const { db, mirrors } = deps;
  const { repository, revision, dryRun } = request;
  const mirror = await mirrorOf(db, mirrors, repository);
  const commit = await resolveRevision(mirror, revision ?? null);
  const place = { repository, commit, policy: origin.policy };
  const record = async (outcome: Parameters<typeof recordIndexing>[2]) => {
    if (!dryRun) await recordIndexing(db, place, outcome);
  };
  const plan = await planIndexing(db, mirror, place).catch(async (error: unknown) => {
    await record({ failure: (error as Error).message });
    throw error;
  });
  try {
    const { jobs, notes } = await makeJobs(deps, { ...place, tenant: origin.tenant }, plan, request);
    await record({ ...plan, notes });
    return { repository, commit, source: plan.source, jobs, notes };
  } catch (error) {
    if (error instanceof FumehoodError && isLasting(error)) await record({ failure: error.message });
    throw error;
  }
}

/** Whether the same request is refused again until somebody changes something: a policy does not try it after each sync. */
const isLasting = ({ status = 500 }: FumehoodError) => status < 500 && status !== 429;

/** Makes the jobs of a plan that are not there yet. */
async function makeJobs(
  { db, kinds }: IndexingDeps,
  {
    repository,
    commit,
    tenant,
  }: { readonly repository: string; readonly commit: string; readonly tenant: string },
  plan: IndexPlan,
  { dryRun, force, ...asked }: z.output<typeof createIndexingSchema>,
): Promise<Pick<Indexing, 'jobs' | 'notes'>> {
  const { secrets: allowed = [], ...settings } = (await findIndexSettings(db, repository))?.settings ?? {};
  const options = { ...settings, ...asked };
  await requireBroker(db, { queue: 'codeintel', repository }, options.broker ?? []);
  const secrets = await chooseSecrets(db, { repository, tenant, allowed }, plan);
  const jobs: Indexing['jobs'] = [];
  for (const { spec, reason } of plan.jobs) {
    const target = { repository, commit, root: spec.root, indexer: indexerName(spec) };
    const request = createJobSchema.safeParse({
      ...{ ...options, queue: 'codeintel', repository, commit, root: spec.root },
      secrets: spec.requestedEnvVars.filter((name) => secrets.given.has(name)),
      steps: spec.steps,
      indexer: { name: target.indexer, image: spec.indexer, commands: scriptOf(spec) },
      outfile: spec.outfile,
    });
    if (!request.success) throw indexJobInvalid(spec.root, request.error);
    const earlier = force ? null : await findEarlier(db, target);
    const made =
      earlier !== null || dryRun ? null : await make(db, { kinds, tenant, force }, target, request.data);
    const { root, indexer, steps } = spec;
    const jobId = earlier ?? made?.id ?? null;
    const isEarlier = earlier !== null || made?.isEarlier === true;
    jobs.push({ root, indexer, steps, commands: scriptOf(spec), reason, jobId, isEarlier });
  }
  return { jobs, notes: [...plan.notes, ...secrets.notes] };
}

/** What a job indexes, and by which indexer. */
interface Target {
  readonly repository: string;
  readonly commit: string;
  readonly root: string;
  readonly indexer: string;
}

/** Makes a job. Those who ask for the same one at the same time wait for each other, and the others get that of the first. */
async function make(
  db: Db,
  { kinds, tenant, force }: { readonly kinds: QueueKinds; readonly tenant: string; readonly force: boolean },
  target: Target,
  request: z.output<typeof createJobSchema>,
): Promise<{ readonly id: number; readonly isEarlier: boolean }> {
  const job = await kindOf(kinds, 'codeintel').create(request);
  const key = JSON.stringify(['index', target.repository, target.commit, target.root, target.indexer]);
  return await transaction(db, async (tx) => {
    await sql`select pg_advisory_xact_lock(hashtextextended(${key}, 0))`.execute(tx);
    const earlier = force ? null : await findEarlier(tx, target);
    if (earlier !== null) return { id: earlier, isEarlier: true };
    const { priority, retryPauseMs } = request;
    const submission = { tenant, priority, processAfter: null, retryPauseMs, idempotency: null };
    const { id } = await enqueue(tx, 'codeintel', job, submission);
    return { id, isEarlier: false };
  });
}

/**
 * The name by which indexes of the same indexer replace each other: that of its image, without a registry's own part, tag and digest. An archive
 * has none: its command is the name.
 */
const indexerName = ({ indexer, indexer_args: [command = 'indexer'] }: IndexJobSpec): string =>
  (digestSchema.safeParse(indexer).success ? command : indexer)
    .replace(/@.*$/, '')
    .replace(/:[^/:]*$/, '')
    .replace(/^sourcegraph\//, '')
    .slice(-100);

/** Returns the job for a target that is under way or has succeeded; null if there is none. */
async function findEarlier(db: Db, { repository, commit, root, indexer }: Target): Promise<number | null> {
  const { rows } = await sql<{ id: number | null }>`
    select max(id) as id from jobs
    where queue = 'codeintel' and repository = ${repository} and commit = ${commit}
      and state in ('queued', 'errored', 'processing', 'completed')
      and payload ->> 'root' = ${root} and payload #>> '{indexer,name}' = ${indexer}
  `.execute(db);
  return rows[0]?.id ?? null;
}

/** The lines of the script that indexes. */
const scriptOf = (spec: IndexJobSpec): string[] => [
  ...spec.local_steps,
  spec.indexer_args.map(quote).join(' '),
];

/** Quotes a word for a POSIX shell. */
const quote = (word: string) => (/^[\w./:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);
