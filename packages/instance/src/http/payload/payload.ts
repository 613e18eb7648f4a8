import { FumehoodError } from '@fumehood/base';
import { encodeJob, type Job, type PayloadVersion } from '@fumehood/protocol';
import type { FastifyBaseLogger } from 'fastify';
import * as z from 'zod';
import { newSecret } from '../../auth/secret.ts';
import { storeUploadToken } from '../../auth/upload.ts';
import { executorUrlMissing } from '../../errors.ts';
import { kindOf } from '../../queue/kind.ts';
import { underCeilings } from '../../queue/network.ts';
import { type Leased, mark } from '../../queue/queue.ts';
import { readBroker, withBroker } from '../../secrets/broker.ts';
import { readRegistries, registryAuth } from '../../secrets/registries.ts';
import { readSecrets, withSecrets } from '../../secrets/secrets.ts';
import type { RouteDeps } from '../deps.ts';
import { describeIssues } from '../issues.ts';
import { machineVariables } from './machine.ts';
import { uploadStep, uploadStepKey } from './upload-step.ts';

/** The executor that has leased a job: it decides the form of the payload. */
export type Recipient =
  | { readonly native: true; readonly leaseMs: number }
  | {
      readonly native: false;
      readonly version: PayloadVersion;
      /** Environment variables that every step of an indexing job gets. */
      readonly variables: readonly string[];
    };

export interface PayloadRequest {
  readonly leased: Leased;
  readonly to: Recipient;
  /** Whether the request came on the route of one queue, where the payload does not name the queue. */
  readonly single: boolean;
  readonly log: FastifyBaseLogger;
}

/** Returns the payload of a leased job. A job whose payload cannot be made fails. Errors: `record_invalid`. */
export async function payloadOf(deps: RouteDeps, request: PayloadRequest): Promise<object> {
  const { id, attempt, queue, tenant } = request.leased.job;
  const uploadToken = newSecret();
  const {
    job,
    version,
    uploads,
    secrets: names,
    images,
  } = await orFail(deps, request, () => transform(deps, request, uploadToken));
  const registries = await readRegistries(deps.db, queue, images);
  const stored = await readSecrets(deps.db, tenant, names);
  const wanted = kindOf(deps.kinds, queue).broker(request.leased.job);
  const brokerNames = wanted === null && job.fumehood?.network.mode === 'none' ? [] : wanted;
  const entries = job.fumehood ? await readBroker(deps.db, request.leased.job, brokerNames) : [];
  const payload = await orFail(deps, request, () => {
    const dockerAuthConfig = registryAuth(deps.vault, registries);
    const secret = withSecrets(deps.vault, job, { tenant, names, stored, except: uploadStepKey });
    return encodeJob({ ...withBroker(deps.vault, secret, brokerNames, entries), dockerAuthConfig }, version);
  });
  if (uploads) await storeUploadToken(deps.db, { jobId: id, attempt }, uploadToken, uploads.root);
  return payload;
}

/** Returns what `make` returns. When it throws, the job fails for good. Errors: `record_invalid`. */
async function orFail<T>(
  deps: RouteDeps,
  { leased, single, log }: PayloadRequest,
  make: () => T | Promise<T>,
): Promise<T> {
  try {
    return await make();
  } catch (error) {
    const { id, queue } = leased.job;
    const why = error instanceof z.ZodError ? describeIssues(error) : (error as Error).message;
    await failJob(deps, leased, `failed to transform record: ${why}`).catch((failed: unknown) =>
      log.error({ error: failed, job: id }, 'a job without a payload could not be marked as failed'),
    );
    const transformer = single ? 'RecordTransformer' : `RecordTransformer ${queue}`;
    throw new FumehoodError({ status: 500, code: 'record_invalid', message: `${transformer}: ${why}` });
  }
}

interface Transformed {
  readonly job: Job;
  readonly version: PayloadVersion;
  /** The directory that the upload token is for; null for a job without one. */
  readonly uploads: { readonly root: string } | null;
  /** The names of the secrets that the steps get. */
  readonly secrets: readonly string[];
  /** The images that the executor pulls. */
  readonly images: readonly string[];
}

async function transform(
  deps: RouteDeps,
  request: PayloadRequest,
  uploadToken: string,
): Promise<Transformed> {
  const { leased, to, single } = request;
  const { job, token } = leased;
  const kind = kindOf(deps.kinds, job.queue);
  const { fumehood: asked, ...own } = kind.content(job);
  const content = to.native ? own : { ...own, ...(await kind.forUpstream?.(deps.db, job, to.version)) };
  // Also those of steps that `src` runs.
  const images = [...(own.dockerSteps ?? []), ...(content.dockerSteps ?? [])].map(({ image }) => image);
  const { secrets = [] } = asked;
  const fumehood = { ...asked, network: underCeilings(asked.network, job.egress_ceilings ?? []) };
  const plain: Job = {
    ...{ id: job.id, token, repositoryName: job.repository, commit: job.commit },
    ...(!single && { queue: job.queue }),
    ...content,
  };
  if (to.native) {
    const resources = { cpus: job.cpus, memoryMiB: job.memory_mib, scratchMiB: job.scratch_mib };
    const native = { ...fumehood, attempt: job.attempt, accept: job.accept, resources, leaseMs: to.leaseMs };
    if (!asked.upload)
      return { job: { ...plain, fumehood: native }, version: 2, uploads: null, secrets, images };
    const size = machineVariables({
      numCPUs: job.cpus,
      memory: job.memory_mib * 2 ** 20,
      diskSpace: job.scratch_mib * 2 ** 20,
    });
    const indexing = (content.dockerSteps ?? []).map((step) => ({
      ...step,
      env: [...size, ...(step.env ?? [])],
    }));
    return {
      job: { ...plain, dockerSteps: indexing, fumehood: native },
      version: 2,
      uploads: null,
      secrets,
      images,
    };
  }
  const { upload } = fumehood;
  if (!upload) return { job: plain, version: to.version, uploads: null, secrets, images };
  const steps = (content.dockerSteps ?? []).map((step) => ({
    ...step,
    env: [...to.variables, ...(step.env ?? [])],
  }));
  const { url, srcImage: image } = deps.upstream;
  if (url === null) throw executorUrlMissing();
  const { step, redactedValues } = uploadStep(job, upload, uploadToken, { url, image });
  const uploading = { ...plain, dockerSteps: [...steps, step], redactedValues };
  return { job: uploading, version: to.version, uploads: upload, secrets, images };
}

async function failJob(deps: RouteDeps, { job }: Leased, message: string): Promise<void> {
  const { id: jobId, attempt, queue, executor } = job;
  const lease = { jobId, attempt, queue, executor: executor ?? '', repository: '', commit: '' };
  await mark(deps.db, deps.kinds, lease, 'fail', { reason: 'record_invalid', message });
}
