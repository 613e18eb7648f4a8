import {
  commitSchema,
  defaultEgress,
  type DockerStep,
  imageReferenceSchema,
  type Job,
  type NativeJob,
  relativePathSchema,
  stopGraceSchema,
} from '@fumehood/protocol';
import type { UpstreamJobs } from '../../settings.ts';
import { jobRefused } from '../../errors.ts';
import { takeUploadStep, type Upload } from '../../upload/upload-step.ts';
import { sparseDirectories } from '../../workspace/sparse-checkout.ts';

/** A validated job: every field is present and supported. */
export type ValidatedJob = Omit<Job, 'dockerSteps' | 'fumehood'> & {
  readonly dockerSteps: DockerStep[];
  /** Attempt 0 stands for a job of an upstream instance, which does not number attempts. */
  readonly fumehood: Omit<NativeJob, 'leaseMs' | 'upload'>;
  readonly upload: Upload | null;
  /** True when the job may bring its instance's credential into the guest, because the admin allows it. */
  readonly exposed: boolean;
};

/** The settings of this executor that a validation needs. */
export interface ValidationSettings {
  /** The executor's credential, which no job may hold. */
  readonly credential: { readonly secret: string };
  readonly upstream: UpstreamJobs;
  /** Whether guests can have a network. */
  readonly network: boolean;
}

/**
 * Validates a leased job and fills in what an upstream instance does not state. Errors: `job_refused` for what this executor does
 * not support, `upload_step_refused`.
 */
export function validateJob(job: Job, settings: ValidationSettings): ValidatedJob {
  const validated = job.fumehood ? fromNative(job, job.fumehood) : fromUpstream(job, settings);
  const otherExecutor = 'Send the job to an executor of the kind that it was made for.';
  const { dockerSteps, upload } = validated;
  if (job.cliSteps && job.cliSteps.length > 0)
    throw jobRefused('it has steps of the `src` command', otherExecutor);
  if (dockerSteps.length === 0) throw jobRefused('it has no steps', 'Give the job a step.');
  if (!relativePathSchema.safeParse(job.repositoryDirectory).success)
    throw jobRefused(
      'the directory of its repository is not one of the workspace',
      'Name a directory inside of the workspace.',
    );
  sparseDirectories(job.sparseCheckout); // throws for unsupported patterns before anything is started
  const { workspace } = validated.fumehood;
  if (workspace !== null && (job.repositoryName !== '' || Object.keys(job.files).length > 0))
    throw jobRefused(
      'it has an archive of its workspace, and a repository or files beside it',
      'Give the job one of them.',
    );
  if (job.fetchTags) throw jobRefused("it wants the repository's tags", otherExecutor);
  if (job.repositoryName !== '' && !job.shallowClone)
    throw jobRefused("it wants the repository's whole history", otherExecutor);
  // The path is a part of the options of a mount, where these characters mean something.
  const { batch } = validated.fumehood;
  if (batch && (job.repositoryName === '' || !/^[A-Za-z0-9._/-]+$/.test(job.repositoryDirectory)))
    throw jobRefused(
      'it is a part of a batch change, and has no repository in a directory of plain letters',
      'Name the repository, and a directory for it.',
    );
  for (const step of dockerSteps) {
    const isOnInstance = job.fumehood && imageDigest(step.image) !== null;
    if (!isOnInstance && !imageReferenceSchema.safeParse(step.image).success)
      throw jobRefused(
        `${JSON.stringify(step.image.slice(0, 200))} names no image`,
        'Name an image of a registry, such as `name:tag`, or one on a native instance, as `blob:<digest>`.',
      );
  }
  if (job.repositoryName !== '' && !commitSchema.safeParse(job.commit).success)
    throw jobRefused('its commit is not 40 hexadecimal digits', 'Give the full id of the commit.');
  if (upload && job.repositoryName === '')
    throw jobRefused('it uploads an index but has no repository', 'Name the repository and the commit.');
  return validated;
}

function fromNative(job: Job, fumehood: NativeJob): ValidatedJob {
  const target = {
    route: '/.executors/scip/upload',
    associatedIndexId: job.id,
    authorization: `Bearer ${job.token}`,
  };
  return {
    ...job,
    dockerSteps: job.dockerSteps ?? [],
    fumehood,
    upload: fumehood.upload && { ...fumehood.upload, ...target },
    exposed: false,
  };
}

/** Takes what the job does not state from the settings for jobs of upstream instances. */
function fromUpstream(leased: Job, { credential, upstream, network }: ValidationSettings): ValidatedJob {
  const { job, upload, exposed } = takeUploadStep(leased, [credential.secret], upstream.exposeCredentials);
  const { accept, resources, deadlineMs } = upstream;
  const stopGraceMs = stopGraceSchema.parse(undefined);
  return {
    ...job,
    dockerSteps: job.dockerSteps ?? [],
    fumehood: {
      ...{ attempt: 0, accept, resources, deadlineMs, stopGraceMs },
      ...{ stdin: false, inspect: false, workspace: null, artifacts: [] },
      // An upstream instance cannot look for an executor that has a network.
      network: network ? defaultEgress[job.queue ?? 'batches'] : { mode: 'none' },
    },
    upload,
    exposed,
  };
}

/** Returns whether the job's steps get a workspace: it has a repository, or files, or both, or an archive, or it brings something back. */
export function hasWorkspace({ repositoryName, files, fumehood }: ValidatedJob): boolean {
  const { workspace, artifacts } = fumehood;
  return repositoryName !== '' || Object.keys(files).length > 0 || workspace !== null || artifacts.length > 0;
}

/** Returns the credentials that no file of the job may hold: none when the admin allows exposure. */
export function secretsOfJob({ token, upload, exposed }: ValidatedJob, credential: string): string[] {
  if (exposed) return [];
  return [credential, token, ...(upload ? [upload.authorization.replace(/^\S+ /, '')] : [])];
}

/** Returns the digest of an image that is named as `blob:sha256:…`, or null for every other image. */
export function imageDigest(image: string): string | null {
  return /^blob:(sha256:[0-9a-f]{64})$/.exec(image)?.[1] ?? null;
}
