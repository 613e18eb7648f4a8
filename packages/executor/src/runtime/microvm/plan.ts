import { randomBytes } from 'node:crypto';
import type { VmSpec } from '@fumehood/microvm';
import type { ImageDisk } from '@fumehood/oci';
import {
  commitSchema,
  type DockerStep,
  imageReferenceSchema,
  type Job,
  type NativeJob,
  relativePathSchema,
  type Tier,
} from '@fumehood/protocol';
import type { UpstreamJobs } from '../../agent/config.ts';
import { jobRefused } from '../../errors.ts';
import { takeUploadStep, type Upload } from '../../upload/upload-step.ts';
import { sparseDirectories } from '../../workspace/sparse-checkout.ts';

/** A job that passed the door, with nothing in it that is not understood, and nothing missing. */
export type ValidatedJob = Omit<Job, 'dockerSteps' | 'fumehood'> & {
  readonly dockerSteps: DockerStep[];
  /** Attempt 0: its instance, one of upstream's kind, does not count them. */
  readonly fumehood: Pick<NativeJob, 'attempt' | 'accept' | 'resources' | 'deadlineMs' | 'stdin' | 'inspect'>;
  readonly upload: Upload | null;
  /** It may bring its instance's credential into the guest. */
  readonly exposed: boolean;
};

/** What this executor brings to every job. */
export interface Host {
  /** Its credential, which no job may hold. */
  readonly credential: { readonly secret: string };
  readonly upstream: UpstreamJobs;
}

/** Errors: `job_refused` for what this executor would have to leave out, `upload_step_refused`. */
export function validateJob(job: Job, host: Host): ValidatedJob {
  const made = job.fumehood ? nativeJob(job, job.fumehood) : upstreamJob(job, host);
  const other = 'Send it to an executor of the kind that it was made for.';
  const { dockerSteps, upload } = made;
  if (job.cliSteps && job.cliSteps.length > 0) throw jobRefused('it has steps of the `src` command', other);
  if (dockerSteps.length === 0) throw jobRefused('it has no steps', 'Give it one.');
  if (!relativePathSchema.safeParse(job.repositoryDirectory).success)
    throw jobRefused('the directory of its repository is not one of the workspace', 'Name one inside of it.');
  sparseDirectories(job.sparseCheckout); // refuses what it does not understand, before anything is started
  if (job.fetchTags) throw jobRefused("it wants the repository's tags", other);
  if (job.repositoryName !== '' && !job.shallowClone)
    throw jobRefused("it wants the repository's whole history", other);
  for (const step of dockerSteps) {
    const onInstance = job.fumehood && imageDigest(step.image) !== null;
    if (!onInstance && !imageReferenceSchema.safeParse(step.image).success)
      throw jobRefused(
        `${JSON.stringify(step.image.slice(0, 200))} names no image`,
        'Name one of a registry, such as `name:tag`, or one that was put on our instance as `blob:<digest>`.',
      );
  }
  if (job.repositoryName !== '' && !commitSchema.safeParse(job.commit).success)
    throw jobRefused('its commit is not 40 hexadecimal digits', 'Name the commit in full.');
  if (upload && job.repositoryName === '')
    throw jobRefused('it uploads an index but has no repository', 'Name the repository and the commit.');
  return made;
}

function nativeJob(job: Job, fumehood: NativeJob): ValidatedJob {
  const route = '/.executors/scip/upload';
  const how = { route, associatedIndexId: job.id, authorization: `Bearer ${job.token}` };
  return {
    ...job,
    dockerSteps: job.dockerSteps ?? [],
    fumehood,
    upload: fumehood.upload && { ...fumehood.upload, ...how },
    exposed: false,
  };
}

/** What it does not say is what the admin says of such jobs. */
function upstreamJob(given: Job, { credential, upstream }: Host): ValidatedJob {
  const { job, upload, exposed } = takeUploadStep(given, [credential.secret], upstream.exposeCredentials);
  const { accept, resources, deadlineMs } = upstream;
  return {
    ...job,
    dockerSteps: job.dockerSteps ?? [],
    fumehood: { attempt: 0, accept, resources, deadlineMs, stdin: false, inspect: false },
    upload,
    exposed,
  };
}

/** Whether its steps find a directory with a repository, or files of the job, or both. */
export function hasWorkspace(job: Pick<Job, 'repositoryName' | 'files'>): boolean {
  return job.repositoryName !== '' || Object.keys(job.files).length > 0;
}

/** Credentials that must not be in what goes into the guest. */
export function secretsOfJob({ token, upload, exposed }: ValidatedJob, credential: string): string[] {
  if (exposed) return [];
  return [credential, token, ...(upload ? [upload.authorization.replace(/^\S+ /, '')] : [])];
}

/** The digest of `blob:sha256:…`, or null. */
export function imageDigest(image: string): string | null {
  return /^blob:(sha256:[0-9a-f]{64})$/.exec(image)?.[1] ?? null;
}

/** The strongest tier that the job accepts and this host has. Errors: `job_refused`; never a weaker one in silence. */
export function chooseTier(accept: readonly Tier[], offered: readonly Tier[]): Tier {
  const strongestFirst: Tier[] = ['vm-hardware', 'vm-pvm', 'vm-emulated'];
  const tier = strongestFirst.find((candidate) => accept.includes(candidate) && offered.includes(candidate));
  if (!tier)
    throw jobRefused(
      `it accepts ${accept.join(', ')}, and this executor offers ${offered.join(', ') || 'nothing'}`,
      'Run `fumehood doctor` on the executor.',
    );
  return tier;
}

/** Which disk of the VM holds what. */
export interface DiskPlan {
  /** Names in the disk directory, in slot order. */
  readonly disks: readonly string[];
  /** Slot of each step's image. */
  readonly imageSlots: readonly number[];
  /** Slot of the workspace, or null without a repository. */
  readonly workspaceSlot: number | null;
}

/** Every disk once, however many steps use it. */
export function planDisks(images: readonly ImageDisk[], workspace: string | null): DiskPlan {
  const disks = [...new Set(images.map((image) => image.file))];
  const imageSlots = images.map((image) => disks.indexOf(image.file));
  return workspace === null
    ? { disks, imageSlots, workspaceSlot: null }
    : { disks: [...disks, workspace], imageSlots, workspaceSlot: disks.length };
}

/** A VM for one try of a job; its id is never used twice. */
export function vmSpec(job: ValidatedJob, tier: Tier, plan: DiskPlan): VmSpec {
  return {
    id: `j${job.id}-a${job.fumehood.attempt}-${randomBytes(4).toString('hex')}`,
    acceleration: tier === 'vm-emulated' ? 'emulated' : 'kvm',
    ...job.fumehood.resources,
    disks: plan.disks,
  };
}

/** What a step may use of the VM's memory: the kernel and init need the rest, and the step is to hit its bound first. */
export function stepMemoryBytes(memoryMiB: number): number {
  return Math.floor(memoryMiB - 64 - memoryMiB / 16) * 2 ** 20;
}
