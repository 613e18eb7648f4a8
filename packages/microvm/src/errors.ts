import { FumehoodError } from '@fumehood/base';

/** A tool that builds something on this host is missing or failed. */
export function toolFailed(tool: string, why: string, remedy: string): FumehoodError {
  return new FumehoodError({ code: 'tool_failed', message: `${tool} failed: ${why}`, remedy });
}

/** The guest image cannot be built from the kernel package of this host. */
export function guestImageInvalid(why: string): FumehoodError {
  return new FumehoodError({
    code: 'guest_image_invalid',
    message: `the guest image cannot be built: ${why}`,
    remedy: 'Run `apt-get update` and `fumehood clean`, which keeps jobs and indexes, and try again.',
  });
}

/** The kernel that was named for guests is none. */
export function kernelUnusable(file: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'kernel_unusable',
    message: `${file} cannot be the kernel of guests: ${why}`,
    remedy: 'Name an uncompressed kernel (`vmlinux`) in FUMEHOOD_GUEST_KERNEL, or unset it.',
  });
}

/** The guest sent something that the protocol does not allow. The VM is destroyed, whatever the reason. */
export function guestProtocol(why: string): FumehoodError {
  return new FumehoodError({
    code: 'guest_protocol',
    message: `the guest broke the protocol: ${why}`,
    remedy: 'The VM was destroyed. If this repeats with code that you trust, report it.',
  });
}

/** The guest did not come up, or its channel or its VMM's monitor ended. */
export function guestNotReady(why: string): FumehoodError {
  return new FumehoodError({
    code: 'guest_not_ready',
    message: `the guest did not come up: ${why}`,
    remedy: 'Run `fumehood doctor`: it boots a guest and reports what prevents it.',
  });
}

/** A command of the host failed in init. */
export function guestCommandFailed(verb: string, errno: number, text: string): FumehoodError {
  return new FumehoodError({
    code: 'guest_command_failed',
    message: `the guest refused ${verb}: ${text} (errno ${errno})`,
    details: { verb, errno },
  });
}

/** A file cannot be collected from the guest. `status` is that of init's `collected`. */
export function artifactRefused(path: string, status: string, text: string): FumehoodError {
  const codes: Record<string, string> = {
    missing: 'artifact_missing',
    irregular: 'artifact_irregular',
    'too-big': 'artifact_too_big',
  };
  return new FumehoodError({
    code: codes[status] ?? 'artifact_unreadable',
    message: `${path} cannot be collected from the workspace: ${text}`,
    remedy: 'Check that a step writes it, within the size limit, and not as a link.',
  });
}

/** The privileged helper refuses a VM, or an operation on one. */
export function vmRefused(why: string): FumehoodError {
  return new FumehoodError({ code: 'vm_refused', message: `the VM was not started: ${why}` });
}

/**
 * A template could not be made. `reason`: its guest did not come up in time (`not_ready`), its VMM ended before everything was saved
 * (`interrupted`), or there was not enough memory (`out_of_memory`).
 */
export function templateFailed(
  reason: 'not_ready' | 'interrupted' | 'out_of_memory',
  why: string,
): FumehoodError {
  return new FumehoodError({
    code: `template_${reason}`,
    message: `no template could be made: ${why}`,
    remedy:
      'VMs boot meanwhile. Run `fumehood doctor` on the executor: it boots a guest and reports what prevents it.',
  });
}

/** A template could not be made, and is being made again. */
export function templateRetried({ code, message }: FumehoodError): FumehoodError {
  return new FumehoodError({ code, message: `${message}; it is being made again` });
}

/** No template of this size fits beside those that clones use. */
export function noRoomForTemplate(sizeMiB: number, budgetMiB: number, inUseMiB: number): FumehoodError {
  return new FumehoodError({
    code: 'template_no_room',
    message: `no template of ${sizeMiB} MiB fits: templates may use ${budgetMiB} MiB, and those in use take ${inUseMiB} MiB`,
  });
}

/** A template is older than clones may start from, and cannot be made again while clones use it. */
export function templateTooOld(ageMs: number): FumehoodError {
  return new FumehoodError({
    code: 'template_too_old',
    message: `its template was made ${Math.floor(ageMs / 3_600_000)} h ago, and is made again when its last clone has ended`,
  });
}

/** An installed VMM must not run VMs. */
export function vmmRefused(why: string): FumehoodError {
  return new FumehoodError({
    code: 'vmm_refused',
    message: `the VMM is not used: ${why}`,
    remedy: 'Run `fumehood executor install firecracker`: it installs a version that is accepted.',
  });
}
