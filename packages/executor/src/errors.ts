import { FumehoodError, factsOf } from '@fumehood/base';

/** The instance did not answer, or answered that it cannot serve the request now. The request is worth a retry. */
export function instanceUnreachable(action: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'instance_unreachable',
    message: `could not reach the instance to ${action}: ${why}`,
    remedy: 'Check that the instance runs and that this machine reaches its URL.',
  });
}

/** The server at the instance's URL has no certificate that this machine trusts. */
export function instanceUntrusted(action: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'instance_unreachable',
    message: `could not trust the certificate of the instance to ${action}: ${why}`,
    remedy:
      'Check the certificate and the host name of the instance. Name your own CA as `route.caFile` in the configuration.',
  });
}

export function plainHttpRefused(url: string): FumehoodError {
  return new FumehoodError({
    code: 'plain_http_refused',
    message: `${url} does not use TLS: anybody who is between the two machines, or who listens on the port while the instance does not, could read the credential and every job`,
    remedy:
      'Use https; for an instance on this machine, use `unix:` and the path of `run/instance/socket` in its state directory. To accept this, set `"route": {"plainHttp": true}` in the configuration.',
  });
}

export function caUnusable(file: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'ca_unusable',
    message: `could not read a CA from ${file}: ${why}`,
    remedy: 'Name a file of PEM certificates that the agent can read.',
  });
}

/** The instance refused the request, and would refuse a retry. `remedy`: what the instance says of it. */
export function instanceRefused(
  action: string,
  status: number,
  text: string,
  remedy?: string,
): FumehoodError {
  return new FumehoodError({
    code: 'instance_refused',
    message: `the instance refused the request to ${action}: ${status} ${text.slice(0, 300)}`,
    ...(remedy !== undefined && { remedy: remedy.slice(0, 300) }),
    details: { status },
  });
}

/** The message begins with the hint that upstream's executors give. */
export function credentialRefused(text: string): FumehoodError {
  return new FumehoodError({
    code: 'credential_refused',
    message: `failed to authorize with frontend, is executors.accessToken set correctly in the site-config? ${text.slice(0, 300)}`,
    remedy: "Check this executor's credential, and that the instance has not revoked it.",
  });
}

export function credentialUnreadable(file: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'credential_unreadable',
    message: `could not read a credential from ${file}: ${why}`,
    remedy:
      'Write the secret that `fumehood executors credentials create` or `rotate` printed into this file, readable by the agent alone.',
  });
}

/** The versions of the two sides are more than one apart. */
export function versionsApart(instance: string, executor: number): FumehoodError {
  return new FumehoodError({
    code: 'versions_apart',
    message: `this executor speaks version ${executor} of the native protocol, and the instance version ${instance.slice(0, 20)}`,
    remedy: 'Update the older of the two: versions that are one apart work together.',
  });
}

/** The lease of the job is over. The instance refuses every write of this attempt. */
export function leaseLost(why: string): FumehoodError {
  return new FumehoodError({ code: 'lease_lost', message: `the lease of this job was lost: ${why}` });
}

/** Somebody canceled the job. */
export function canceled(why: string): FumehoodError {
  return new FumehoodError({ code: 'canceled', message: `the job was canceled: ${why}` });
}

/** The job asks for something that this executor cannot do. Nothing of the job has been started. */
export function jobRefused(why: string, remedy: string): FumehoodError {
  return new FumehoodError({
    code: 'job_refused',
    message: `this executor cannot run the job: ${why}`,
    remedy,
  });
}

/** The archive of a job's workspace holds what no workspace has. */
export function workspaceInvalid(why: string): FumehoodError {
  return jobRefused(
    `the archive of its workspace cannot be used: ${why}`,
    'Make the archive with `fumehood run --dir DIR`.',
  );
}

/** A step of a batch job asks for what no step can have. */
export function stepRefused(step: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'step_refused',
    message: `the step ${step} cannot be run: ${why}`,
    remedy: 'Change this step of the batch spec.',
  });
}

/** What the steps of a batch job have changed cannot be taken from the repository, or not be put there. */
export function diffFailed(what: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'diff_failed',
    message: `${what} did not work on the repository in the workspace: ${why}`,
    remedy: 'Have the steps leave files, directories and symbolic links, and no repository of their own.',
  });
}

export function diffTooBig(maxBytes: number): FumehoodError {
  return new FumehoodError({
    code: 'diff_too_big',
    message: `the steps have changed more than ${maxBytes} bytes of the repository, as a diff counts them`,
    remedy: 'Change less in one workspace, or have a step remove what it made.',
  });
}

/** The job holds a credential of its instance in a place from which the executor cannot remove it. */
export function uploadStepRefused(why: string): FumehoodError {
  return new FumehoodError({
    code: 'upload_step_refused',
    message: `the job would bring a credential of its instance into the VM: ${why}`,
    remedy:
      "Let the instance send its own form of the step `upload`, or set `exposeCredentials` in this executor's configuration.",
  });
}

export function imageUnavailable(image: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'image_not_found',
    message: `the archive ${image.slice(0, 200)} of an image or a workspace is not available: ${why}`,
    remedy: 'Put the archive on the instance again and start a new job.',
  });
}

/** A file that the job names, but does not bring, cannot be fetched. */
export function fileMissing(file: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'file_missing',
    message: `the job's file ${file.slice(0, 200)} is not available: ${why}`,
    remedy: 'Upload the file again and start a new job.',
  });
}

/** A blob arrived with other bytes than its digest says. */
export function blobDamaged(digest: string, why: string): FumehoodError {
  return new FumehoodError({ code: 'blob_damaged', message: `${digest} arrived damaged: ${why}` });
}

export function commitMissing(repository: string, commit: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'commit_missing',
    message: `could not fetch the commit ${commit} of ${repository}: ${why}`,
    remedy: 'Check that the instance has this commit of the repository.',
  });
}

export function stepFailed(step: string, code: number, last: string): FumehoodError {
  return new FumehoodError({
    code: 'step_failed',
    message: `the step ${step} ended with exit code ${code}${last && `:\n${last}`}`,
    remedy: "Read the step's log entry.",
    details: { step, exitCode: code },
  });
}

export function stepNotStarted(step: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'step_not_started',
    message: `could not start the step ${step}: ${why}`,
    remedy: "Check the step's image, command, user and working directory.",
  });
}

export function deadlinePassed(step: string, deadlineMs: number): FumehoodError {
  return new FumehoodError({
    code: 'deadline',
    message: `the step ${step} was stopped: the job exceeded its deadline of ${deadlineMs / 1000} s`,
    remedy: 'Give the job a longer deadline, or less work.',
  });
}

export function memoryExceeded(step: string, limitBytes: number): FumehoodError {
  return new FumehoodError({
    code: 'memory',
    message: `the step ${step} was stopped: it exceeded its limit of ${Math.floor(limitBytes / 2 ** 20)} MiB of memory`,
    remedy: 'Give the job more memory.',
  });
}

/** The file system of this machine is full, even if the job has not used up its scratch space. */
export function diskFull(what: string): FumehoodError {
  return new FumehoodError({
    code: 'disk_full',
    message: `the disk of the executor is full: ${what}`,
    remedy:
      'Free space on the machine of the executor, in its state directory. If the job has no retries left, start it again.',
  });
}

/** A guest did not answer the first message of its host with an entropy, a clock and ids of its own. The VM was killed. */
export function guestUnconfirmed(ms: number): FumehoodError {
  return new FumehoodError({
    code: 'guest_not_ready',
    message: `the guest did not confirm within ${ms / 1000} s that it is unique, so its VM was killed`,
    remedy: 'Run `fumehood doctor` on the executor: it boots a guest and reports what prevents it.',
  });
}

/** The guest or its VMM did not do something in time. The VM was killed. */
export function guestSilent(action: string, ms: number): FumehoodError {
  return new FumehoodError({
    code: 'guest_silent',
    message: `the guest did not ${action} within ${ms / 1000} s, so its VM was killed`,
    remedy:
      'If the job has no retries left, start it again. If it happens again, run `fumehood doctor` on the executor.',
  });
}

/** The VMM ended while the job still ran. */
export function vmmDied(reason: string, complaints: string): FumehoodError {
  return new FumehoodError({
    code: 'vmm_died',
    message: `the VM ended by itself (${reason})${complaints && `: ${complaints}`}`,
    remedy:
      'If the job has no retries left, start it again. If it happens again, run `fumehood doctor` on the executor.',
  });
}

export function uploadFailed(why: string): FumehoodError {
  return new FumehoodError({
    code: 'upload_failed',
    message: `could not upload the index: ${why}`,
    remedy:
      'Read the log entry `upload`, which has the output of the client: `fumehood jobs show` prints its end.',
  });
}

/** The executor was stopped, so its jobs were. */
export function executorStopped(): FumehoodError {
  return new FumehoodError({
    code: 'executor_stopped',
    message: 'the executor was stopped while the job ran',
    remedy: 'If the job has no retries left, start it again.',
  });
}

/** The helper refused to start a VM. */
export function vmRefused(why: string): FumehoodError {
  return new FumehoodError({ code: 'vm_refused', message: `the VM was not started: ${why}` });
}

/** The agent has lost the helper, without which it cannot start or destroy VMs. */
export function helperGone(): FumehoodError {
  return new FumehoodError({
    code: 'executor_stopped',
    message: "the executor's helper is gone",
    remedy: 'If the job has no retries left, start it again.',
  });
}

/** The agent ended while it started. */
export function agentFailed(how: string): FumehoodError {
  return new FumehoodError({
    code: 'agent_failed',
    message: `the executor's agent ended with ${how} before it was ready`,
    remedy: "Read the executor's log: it says why.",
  });
}

/** The process that serves the networks of guests did not start. */
export function egressFailed(how: string): FumehoodError {
  return new FumehoodError({
    code: 'egress_failed',
    message: `the process that serves the networks of guests ended with ${how} before it was ready`,
    remedy: "Read the executor's log: it says why.",
  });
}

/** The disk maker needed more memory than its job has. */
export function diskNeedsMemory(memoryMiB: number): FumehoodError {
  return new FumehoodError({
    code: 'disk_needs_memory',
    message: `a disk could not be made in the memory of this job, ${memoryMiB} MiB: the image or the repository has too many files`,
    remedy: 'Give the job more memory, or a smaller image or repository.',
  });
}

/** The disk maker was taken over by what it read, or is of another version. */
export function diskMakerFailed(why: string): FumehoodError {
  return new FumehoodError({ code: 'disk_invalid', message: `the disk was not made: ${why}` });
}

/** A release of Firecracker was asked for that Fumehood cannot check. */
export function releaseUnknown(why: string, remedy: string): FumehoodError {
  return new FumehoodError({ code: 'release_unknown', message: `nothing is installed: ${why}`, remedy });
}

export function archiveUnavailable(from: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'archive_unavailable',
    message: `nothing is installed: ${from} cannot be read: ${why}`,
    remedy:
      'Run the command again, or bring the archive to this machine in another way and name it: `fumehood executor install firecracker --from FILE`.',
  });
}

/** An archive is not the release. */
export function archiveWrong(from: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'archive_wrong',
    message: `nothing is installed: ${from} is not the release: ${why}`,
    remedy: "Fetch it again, from Firecracker's authors.",
  });
}

export function installFailed(why: string, remedy: string): FumehoodError {
  return new FumehoodError({ code: 'install_failed', message: `nothing is installed: ${why}`, remedy });
}

/** Codes of failures that come from what belongs to one job: its lease, its token, its memory. */
const codesOfOneJob = new Set(['lease_lost', 'instance_refused', 'commit_missing', 'disk_needs_memory']);

/** Returns whether a failure of one job says nothing about another job that needs the same file. */
export function isFailureOfOneJob(error: unknown): boolean {
  return codesOfOneJob.has(factsOf(error).code);
}
