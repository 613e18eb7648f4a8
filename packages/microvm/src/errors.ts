import { FumehoodError } from '@fumehood/base';

/** A tool or package that this host needs is missing or failed. */
export function toolFailed(tool: string, why: string, remedy: string): FumehoodError {
  return new FumehoodError({ code: 'tool_failed', message: `${tool} failed: ${why}`, remedy });
}

/** The guest's kernel or initramfs cannot be made from what was found. */
export function guestImageInvalid(why: string): FumehoodError {
  return new FumehoodError({
    code: 'guest_image_invalid',
    message: `the guest image cannot be built: ${why}`,
    remedy: 'Run `fumehood clean --all`, update the package lists and try again.',
  });
}

/** The guest said something that the protocol does not allow: the VM is lost, whatever the reason. */
export function guestProtocol(why: string): FumehoodError {
  return new FumehoodError({
    code: 'guest_protocol',
    message: `the guest broke the protocol: ${why}`,
    remedy: 'The VM was destroyed. If this repeats with code that you trust, report it.',
  });
}

/** The guest did not come up, or stopped answering. */
export function guestNotReady(why: string): FumehoodError {
  return new FumehoodError({
    code: 'guest_not_ready',
    message: `the guest did not come up: ${why}`,
    remedy: 'Run `fumehood doctor`: it boots a guest by itself and says what stands in its way.',
  });
}

/** Init could not do what the host told it. */
export function guestCommandFailed(verb: string, errno: number, text: string): FumehoodError {
  return new FumehoodError({
    code: 'guest_command_failed',
    message: `the guest refused ${verb}: ${text} (errno ${errno})`,
    details: { verb, errno },
  });
}

/** A file that should be taken out of the guest is not to be had. `status` is init's word. */
export function artifactRefused(path: string, status: string, text: string): FumehoodError {
  const codes: Record<string, string> = {
    missing: 'artifact_missing',
    irregular: 'artifact_irregular',
    'too-big': 'artifact_too_big',
  };
  return new FumehoodError({
    code: codes[status] ?? 'artifact_unreadable',
    message: `${path} cannot be taken from the workspace: ${text}`,
    remedy: 'Check that the last step writes it as a regular file, within the limit.',
  });
}

/** What the privileged side will not start. */
export function vmRefused(why: string): FumehoodError {
  return new FumehoodError({ code: 'vm_refused', message: `the VM was not started: ${why}` });
}
