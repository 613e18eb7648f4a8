import {
  anyRelativePathSchema,
  batchStepsMax,
  batchVersion,
  egressPolicySchema,
  imageSchema,
  stopGraceSchema,
  upstreamVersion,
} from '@fumehood/protocol';
import { sql } from 'kysely';
import * as z from 'zod';
import type { Db } from '../db/connect.ts';
import { queueUnknown } from '../errors.ts';
import type { JobRow } from '../queue/job.ts';
import { type Demanding, demandOf, type NewJob, type QueueKind } from '../queue/kind.ts';
import { batchExecContent, repositoryDirectory } from './batch-exec.ts';
import { type ExecReport, execLogKeys, readExecLog } from './exec-results.ts';
import { imageForExecutor } from './image.ts';
import type { KindStores } from './stores.ts';

const payloadSchema = z.object({
  /** The image of each step of the spec. */
  images: z.array(imageSchema).min(1).max(batchStepsMax),
  /** The directory of the steps, from the root of the repository. */
  path: anyRelativePathSchema,
  onlyFetchWorkspace: z.boolean(),
  deadlineMs: z.int(),
  stopGraceMs: stopGraceSchema,
  inspect: z.boolean(),
  network: egressPolicySchema,
  broker: z.array(z.string()),
  /** Whether executors of upstream's kind get the job. */
  exec: z.boolean(),
});

/** What a job of a batch change runs on, and its demands. */
export interface BatchJob extends Demanding {
  readonly repository: string;
  readonly commit: string;
  /** The image of each step of the spec, also of those that will not run: a reference to an image of a registry, or the digest of an image archive. */
  readonly images: readonly string[];
  readonly path: string;
  readonly onlyFetchWorkspace: boolean;
  /** Wall time of all steps together, ms. */
  readonly deadlineMs: number;
  readonly stopGraceMs: number;
  readonly inspect: boolean;
  /**
   * Whether executors of upstream's kind get the job. Only they do then, and it accepts the weakest tier alone: they name none. They get no
   * secrets.
   */
  readonly exec: boolean;
  readonly maxResets: number;
  readonly maxRetries: number;
}

/** Returns the job of a workspace of a batch spec, for the queue `batches`. Errors: a ZodError for images that are none. */
export function newBatchJob(request: BatchJob): NewJob {
  const { repository, commit, deadlineMs, stopGraceMs, maxResets, maxRetries } = request;
  return {
    payload: payloadSchema.parse({ ...request, broker: request.broker ?? [] }),
    ...{ repository, commit, maxResets, maxRetries },
    demand: {
      ...demandOf(request, true),
      needsVersion: request.exec ? upstreamVersion : batchVersion,
    },
    input: false,
    deadlineMs: deadlineMs + stopGraceMs,
  };
}

/** Returns the kind of the jobs of batch changes, whose executors ask for one step after the other. */
export function batchesKind({ batches }: Pick<KindStores, 'batches'>): QueueKind<'batches'> {
  return {
    name: 'batches',
    // There is no request for such a job (`createJobSchema`): `newBatchJob` makes it.
    create: () => Promise.reject(queueUnknown('batches')),
    broker: (job) => payloadSchema.parse(job.payload).broker,
    content(job) {
      const { images, path, onlyFetchWorkspace, deadlineMs, stopGraceMs, inspect, network } =
        payloadSchema.parse(job.payload);
      const dir = directoryOf(path);
      return {
        repositoryDirectory,
        fetchTags: false,
        shallowClone: true,
        sparseCheckout: onlyFetchWorkspace && path !== '' ? [`${path}/*`] : null,
        files: {},
        dockerSteps: images.map((image, step) => ({
          key: `step.${step}`,
          image: imageForExecutor(image),
          commands: [],
          dir,
          env: [],
        })),
        cliSteps: null,
        redactedValues: null,
        fumehood: {
          ...{ deadlineMs, stopGraceMs, inspect, network },
          ...{ stdin: false, upload: null, workspace: null, artifacts: [], batch: true },
        },
      };
    },
    async forUpstream(db, job, version) {
      const { exec, images, path } = payloadSchema.parse(job.payload);
      if (!exec) throw new TypeError('it is for executors that get its steps one by one');
      return batchExecContent(await batches.exec(db, job), { version, images, dir: directoryOf(path) });
    },
    async ended(tx, job) {
      const { exec } = payloadSchema.parse(job.payload);
      const fault = exec ? await batches.executed(tx, job, await reportOf(tx, job)) : null;
      await batches.ended(tx, job, fault);
    },
    steps: {
      next: batches.next,
      async hasNamed(db, { id, tenant }, digest) {
        const { rows } = await sql<{ named: boolean }>`
          select exists (
            select from batch_files file join batch_workspaces workspace using (spec_id)
            where workspace.job_id = ${id} and file.digest = ${digest}
          ) or exists (
            select from batch_step_results where creator = ${tenant} and diff = ${digest}
          ) as named
        `.execute(db);
        return rows[0]?.named ?? false;
      },
    },
  };
}

/** Returns the directory in which the steps run, from the root of the workspace. */
const directoryOf = (path: string) => (path === '' ? repositoryDirectory : `${repositoryDirectory}/${path}`);

/** Events of the log that are read at a time: 16 MiB. */
const pageSize = 16;

/** Returns what the log of a job's last attempt says of the steps. */
async function reportOf(tx: Db, { id, attempt }: JobRow): Promise<ExecReport> {
  const reader = readExecLog();
  for (let after = 0; ; ) {
    const { rows } = await sql<{ seq: number; key: string; data: Buffer }>`
      select seq, key, data from job_events join log_entries using (job_id, attempt, entry)
      where job_id = ${id} and attempt = ${attempt} and type = 'output' and stream = 'stdout' and seq > ${after}
        and key ~ ${execLogKeys}
      order by seq limit ${pageSize}
    `.execute(tx);
    const wantsMore = rows.every(({ key, data }) => reader.add(key, data));
    if (!wantsMore || rows.length < pageSize) return reader.end();
    after = rows.at(-1)?.seq ?? after;
  }
}
