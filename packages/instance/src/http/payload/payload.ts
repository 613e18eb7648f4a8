import { FumehoodError } from '@fumehood/base';
import { encodeJob, type Job, type PayloadVersion } from '@fumehood/protocol';
import type { FastifyBaseLogger } from 'fastify';
import { z } from 'zod';
import { newSecret } from '../../auth/secret.ts';
import { storeUploadToken } from '../../auth/upload.ts';
import { executorUrlMissing } from '../../errors.ts';
import { kindOf } from '../../queue/kind.ts';
import { type Leased, mark } from '../../queue/queue.ts';
import type { RouteDeps } from '../deps.ts';
import { uploadStep } from './upload-step.ts';

/** Who has leased a job, and so in which form it goes out. */
export type Recipient =
  | { readonly native: true; readonly leaseMs: number }
  | {
      readonly native: false;
      readonly version: PayloadVersion;
      /** Variables of its steps. */
      readonly variables: readonly string[];
    };

export interface PayloadRequest {
  readonly leased: Leased;
  readonly to: Recipient;
  /** The queue's own route, on which the job does not name it. */
  readonly single: boolean;
  readonly log: FastifyBaseLogger;
}

/** A leased job as its executor gets it; one that its kind cannot make has failed. Errors: `record_invalid`. */
export async function payloadOf(deps: RouteDeps, request: PayloadRequest): Promise<object> {
  const { leased, single, log } = request;
  const { id, attempt, queue } = leased.job;
  const uploadToken = newSecret();
  let made: Transformed;
  try {
    made = transform(deps, request, uploadToken);
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message;
    await failJob(deps, leased, `failed to transform record: ${why}`).catch((failed: unknown) =>
      log.error({ error: failed, job: id }, 'a job that cannot be handed out could not be failed'),
    );
    const transformer = single ? 'RecordTransformer' : `RecordTransformer ${queue}`;
    throw new FumehoodError({ status: 500, code: 'record_invalid', message: `${transformer}: ${why}` });
  }
  if (made.uploads) await storeUploadToken(deps.db, { jobId: id, attempt }, uploadToken, made.uploads.root);
  return made.payload;
}

interface Transformed {
  readonly payload: object;
  /** What the token for one upload is for; null where none is given. */
  readonly uploads: { readonly root: string } | null;
}

function transform(deps: RouteDeps, request: PayloadRequest, uploadToken: string): Transformed {
  const { leased, to, single } = request;
  const { job, token } = leased;
  const { fumehood, ...content } = kindOf(deps.kinds, job.queue).content(job);
  const plain: Job = {
    ...{ id: job.id, token, repositoryName: job.repository, commit: job.commit },
    ...(!single && { queue: job.queue }),
    ...content,
  };
  if (to.native) {
    const resources = { cpus: job.cpus, memoryMiB: job.memory_mib, scratchMiB: job.scratch_mib };
    const native = { ...fumehood, attempt: job.attempt, accept: job.accept, resources, leaseMs: to.leaseMs };
    return { payload: encodeJob({ ...plain, fumehood: native }, 2), uploads: null };
  }
  const { upload } = fumehood;
  const steps = (content.dockerSteps ?? []).map((step) => ({
    ...step,
    env: [...to.variables, ...(step.env ?? [])],
  }));
  if (!upload) return { payload: encodeJob({ ...plain, dockerSteps: steps }, to.version), uploads: null };
  const { url, srcImage: image } = deps.upstream;
  if (url === null) throw executorUrlMissing();
  const { step, redactedValues } = uploadStep(job, upload, uploadToken, { url, image });
  const payload = encodeJob({ ...plain, dockerSteps: [...steps, step], redactedValues }, to.version);
  return { payload, uploads: upload };
}

async function failJob(deps: RouteDeps, { job }: Leased, message: string): Promise<void> {
  const { id: jobId, attempt, queue, executor } = job;
  const lease = { jobId, attempt, queue, executor: executor ?? '', repository: '', commit: '' };
  await mark(deps.db, deps.kinds, lease, 'fail', { reason: 'record_invalid', message });
}
