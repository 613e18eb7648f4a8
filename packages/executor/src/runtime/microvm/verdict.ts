import { factsOf } from '@fumehood/base';
import type { MachineVerdict } from '../runtime.ts';

/** How far a run came: its disks are made, its VM boots, or its guest has answered. */
export type Stage = 'disks' | 'boot' | 'guest';

/** Errors of this host, whenever they happen. */
const hostCodes = new Set(['disk_full', 'spawn_failed']);
/** Errors of this host while a VM boots: nothing of the job runs yet. Later, a hostile guest can cause them. */
const bootCodes = new Set(['guest_not_ready', 'guest_protocol', 'internal', 'vm_refused', 'vmm_died']);
/** Refusals of this host's kernel to the agent itself. */
const refusals = /^(EACCES|EAGAIN|EDQUOT|EIO|EMFILE|ENFILE|ENOENT|ENOMEM|ENOSPC|EPERM|EROFS)$/;

/**
 * Returns what the end of a run says about the machine. A failure that the job could have caused says nothing: otherwise a job could
 * stop its executor.
 */
export function verdictOf(failure: unknown, stage: Stage): MachineVerdict {
  const isFault =
    failure !== null &&
    (hostCodes.has(factsOf(failure).code) ||
      (stage === 'boot' && bootCodes.has(factsOf(failure).code)) ||
      isRefusal(failure));
  if (isFault) return 'fault';
  return stage === 'guest' ? 'works' : null;
}

function isRefusal(error: unknown): boolean {
  const { syscall, code } = error as NodeJS.ErrnoException;
  return syscall !== undefined && refusals.test(code ?? '');
}
