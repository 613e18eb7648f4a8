import { FumehoodError } from '@fumehood/base';

/** The instance did not answer, or answered that it cannot now: worth another try. */
export function instanceUnreachable(what: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'instance_unreachable',
    message: `the instance could not be reached to ${what}: ${why}`,
    remedy: 'Check that the instance runs and that this machine reaches its URL.',
  });
}

/** The instance, or who says to be it, has not shown who it is. */
export function instanceUntrusted(what: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'instance_unreachable',
    message: `the instance is not trusted to ${what}: ${why}`,
    remedy:
      'Check its certificate and its name. A CA of your own is named as `route.caFile` in the configuration.',
  });
}

export function plainHttpRefused(url: string): FumehoodError {
  return new FumehoodError({
    code: 'plain_http_refused',
    message: `${url} is on another machine and without TLS: whoever is in between would read the credential and every job`,
    remedy: 'Use https, or say `"route": {"plainHttp": true}` in the configuration.',
  });
}

export function caUnusable(file: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'ca_unusable',
    message: `no CA can be read from ${file}: ${why}`,
    remedy: 'Name a file of certificates as PEM, which the agent may read.',
  });
}

/** The instance refused for good. */
export function instanceRefused(what: string, status: number, text: string): FumehoodError {
  return new FumehoodError({
    code: 'instance_refused',
    message: `the instance refused to ${what}: ${status} ${text.slice(0, 300)}`,
    details: { status },
  });
}

/** With upstream's own hint, for its instances. */
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
    message: `there is no credential in ${file}: ${why}`,
    remedy:
      'Put the secret that `fumehood executors credentials create` or `rotate` printed there, for the agent alone to read.',
  });
}

/** The two sides are more than one version apart. */
export function versionsApart(instance: string, executor: number): FumehoodError {
  return new FumehoodError({
    code: 'versions_apart',
    message: `this executor speaks version ${executor} of the native protocol, and the instance version ${instance.slice(0, 20)}`,
    remedy: 'Bring the older of the two up to date: versions that are one apart work together.',
  });
}

/** The job is no longer ours: whatever we would write is refused. */
export function leaseLost(why: string): FumehoodError {
  return new FumehoodError({ code: 'lease_lost', message: `the lease of this job was lost: ${why}` });
}

export function canceled(why: string): FumehoodError {
  return new FumehoodError({ code: 'canceled', message: `the job was canceled: ${why}` });
}

/** What an executor of ours cannot run, said before anything is started. */
export function jobRefused(why: string, remedy: string): FumehoodError {
  return new FumehoodError({ code: 'job_refused', message: `the job cannot be run: ${why}`, remedy });
}

/** A step that carries its instance's credential into the guest and is not of the one form that we take it out of. */
export function uploadStepRefused(why: string): FumehoodError {
  return new FumehoodError({
    code: 'upload_step_refused',
    message: `the job would bring a credential of its instance into the virtual machine: ${why}`,
    remedy:
      "Have the instance send its own form of the step `upload`, or set `exposeCredentials` in this executor's configuration.",
  });
}

export function imageUnavailable(image: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'image_not_found',
    message: `the image ${image.slice(0, 200)} is not to be had: ${why}`,
    remedy: 'Put the image archive on the instance again and start the job anew.',
  });
}

/** A file that a job brings by its place on the instance. */
export function fileMissing(file: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'file_missing',
    message: `the job's file ${file.slice(0, 200)} is not to be had: ${why}`,
    remedy: 'Upload the file again and start the job anew.',
  });
}

/** Bytes of the instance that are not what they were named. */
export function blobDamaged(digest: string, why: string): FumehoodError {
  return new FumehoodError({ code: 'blob_damaged', message: `${digest} arrived damaged: ${why}` });
}

export function commitMissing(repository: string, commit: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'commit_missing',
    message: `the commit ${commit} of ${repository} cannot be fetched: ${why}`,
    remedy: 'Check that the instance has this commit of the repository.',
  });
}

export function gitProtocol(why: string): FumehoodError {
  return new FumehoodError({ code: 'git_protocol', message: `the git server's answer is malformed: ${why}` });
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
    message: `the step ${step} could not be started: ${why}`,
    remedy: "Check the step's image, command, user and working directory.",
  });
}

export function deadlinePassed(step: string, deadlineMs: number): FumehoodError {
  return new FumehoodError({
    code: 'deadline',
    message: `the step ${step} was stopped: the job's ${deadlineMs / 1000} s were over`,
    remedy: 'Give the job a longer deadline, or less to do.',
  });
}

export function memoryExceeded(step: string, limitBytes: number): FumehoodError {
  return new FumehoodError({
    code: 'memory',
    message: `the step ${step} was stopped: it needed more than its ${Math.floor(limitBytes / 2 ** 20)} MiB of memory`,
    remedy: 'Give the job more memory.',
  });
}

/** This machine has no room for what the job needs, whatever its share of it is. */
export function diskFull(what: string): FumehoodError {
  return new FumehoodError({
    code: 'disk_full',
    message: `the disk of the executor is full: ${what}`,
    remedy: 'The job is tried again. Free space on the machine of the executor, in its state directory.',
  });
}

/** The virtual machine ended while the job still ran. */
export function vmmDied(reason: string, complaints: string): FumehoodError {
  return new FumehoodError({
    code: 'vmm_died',
    message: `the virtual machine ended by itself (${reason})${complaints && `: ${complaints}`}`,
    remedy: 'The job is tried again. If it repeats, run `fumehood doctor` on the executor.',
  });
}

export function uploadFailed(why: string): FumehoodError {
  return new FumehoodError({
    code: 'upload_failed',
    message: `the index could not be uploaded: ${why}`,
    remedy: "Read the log entry `upload`: it holds the client's own words.",
  });
}

export function configInvalid(file: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'config_invalid',
    message: `${file} is not a configuration: ${why}`,
    remedy: 'Start the executor with `fumehood up`, which writes it.',
  });
}

export function executorStopped(): FumehoodError {
  return new FumehoodError({
    code: 'executor_stopped',
    message: 'the executor was stopped while the job ran',
    remedy: 'The job is tried again.',
  });
}

export function vmRefused(why: string): FumehoodError {
  return new FumehoodError({ code: 'vm_refused', message: `the virtual machine was not started: ${why}` });
}

/** Without its privileged parent the agent can do nothing. */
export function helperGone(): FumehoodError {
  return new FumehoodError({
    code: 'executor_stopped',
    message: "the executor's privileged process is gone",
    remedy: 'The job is tried again.',
  });
}

export function agentFailed(how: string): FumehoodError {
  return new FumehoodError({
    code: 'agent_failed',
    message: `the executor's agent ended with ${how} before it worked`,
    remedy: "The executor's log says why.",
  });
}
