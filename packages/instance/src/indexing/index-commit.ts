import { createHash, randomUUID } from 'node:crypto';
import type { IndexJobSpec } from '@fumehood/index-config';
import { createJobSchema, type createIndexingSchema, digestSchema, type Indexing } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { z } from 'zod';
import type { Db } from '../db/connect.ts';
import { kindOf, type QueueKinds } from '../queue/kind.ts';
import { enqueue } from '../queue/queue.ts';
import { mirrorOf, resolveRevision } from '../repos/commit-files.ts';
import type { Mirrors } from '../repos/mirrors.ts';
import { requireBroker } from '../secrets/broker.ts';
import { chooseSecrets } from './job-secrets.ts';
import { planIndexing } from './plan.ts';
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
 * Has a commit indexed: one job for each root and indexer, however often it is asked for, unless the earlier one failed. Errors: those of
 * `resolveRevision`, `planIndexing` and of a job that cannot be made.
 */
export async function indexCommit(
  { db, kinds, mirrors }: IndexingDeps,
  { tenant, policy }: IndexingOrigin,
  { repository, revision, dryRun, force, accept, ...asked }: z.output<typeof createIndexingSchema>,
): Promise<Indexing> {
  const mirror = await mirrorOf(db, mirrors, repository);
  const commit = await resolveRevision(mirror, revision ?? null);
  const place = { repository, commit, policy };
  const plan = await planIndexing(db, mirror, place).catch(async (error: unknown) => {
    if (!dryRun) await recordIndexing(db, place, { failure: (error as Error).message });
    throw error;
  });
  const { secrets: allowed = [], ...settings } = (await findIndexSettings(db, repository))?.settings ?? {};
  const options = { ...settings, ...asked };
  await requireBroker(db, { queue: 'codeintel', repository }, options.broker ?? []);
  const secrets = await chooseSecrets(db, { repository, tenant, allowed }, plan);
  const jobs: Indexing['jobs'] = [];
  for (const { spec, reason } of plan.jobs) {
    const target = { repository, commit, root: spec.root, indexer: indexerName(spec) };
    const earlier = await findEarlier(db, target);
    const reuse = !force && earlier.jobId !== null;
    let jobId = reuse ? earlier.jobId : null;
    const request = createJobSchema.parse({
      ...{ queue: 'codeintel', repository, commit, root: spec.root, accept, ...options },
      secrets: spec.requestedEnvVars.filter((name) => secrets.given.has(name)),
      steps: spec.steps,
      indexer: { name: target.indexer, image: spec.indexer, commands: scriptOf(spec) },
      outfile: spec.outfile,
    });
    if (!reuse && !dryRun) {
      // Two requests at the same time make one job.
      const key = JSON.stringify([target, earlier.ended, force ? randomUUID() : '']);
      const requestSha256 = createHash('sha256').update(key).digest();
      const { id } = await enqueue(db, 'codeintel', await kindOf(kinds, 'codeintel').create(request), {
        ...{ tenant, priority: request.priority, processAfter: null, retryPauseMs: request.retryPauseMs },
        idempotency: { key: `index-${requestSha256.toString('hex').slice(0, 40)}`, requestSha256 },
      });
      jobId = id;
    }
    const { root, indexer, steps } = spec;
    jobs.push({ root, indexer, steps, commands: scriptOf(spec), reason, jobId, isEarlier: reuse });
  }
  const notes = [...plan.notes, ...secrets.notes];
  if (!dryRun) await recordIndexing(db, place, { ...plan, notes });
  return { repository, commit, source: plan.source, jobs, notes };
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

/** The job for a place that is under way or has succeeded, if there is one, and how many have ended otherwise. */
async function findEarlier(
  db: Db,
  place: {
    readonly repository: string;
    readonly commit: string;
    readonly root: string;
    readonly indexer: string;
  },
): Promise<{ readonly jobId: number | null; readonly ended: number }> {
  const { rows } = await sql<{ jobId: number | null; ended: number }>`
    select max(id) filter (where state in ('queued', 'errored', 'processing', 'completed')) as "jobId",
      count(*) filter (where state not in ('queued', 'errored', 'processing', 'completed')) as ended
    from jobs
    where queue = 'codeintel' and repository = ${place.repository} and commit = ${place.commit}
      and payload ->> 'root' = ${place.root} and payload #>> '{indexer,name}' = ${place.indexer}
  `.execute(db);
  return rows[0] ?? { jobId: null, ended: 0 };
}

/** The lines of the script that indexes. */
const scriptOf = (spec: IndexJobSpec): string[] => [
  ...spec.local_steps,
  spec.indexer_args.map(quote).join(' '),
];

/** Quotes a word for a POSIX shell. */
const quote = (word: string) => (/^[\w./:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);
