import type { Clock } from '@fumehood/base';
import type { AgentVm } from './vm-source.ts';

/**
 * How long the host waits for a guest, in ms. Init has limits, too, but init and the VMM belong to the guest, so the host keeps all of
 * them by its own clock (docs/invariants.md, 9).
 */
export interface GuestLimits {
  /** From the first message until the disks are mounted and the files are written. */
  readonly setupMs: number;
  /** After the grace period of a step that was stopped: init reports within it that the step has ended, and its last output arrives. */
  readonly reportMs: number;
  /** For the file that the host takes out, or for all that a job brings back. */
  readonly collectMs: number;
  /** Until the VMM has paused the guest. */
  readonly pauseMs: number;
}

export const guestLimits: GuestLimits = {
  setupMs: 60_000,
  reportMs: 5_000,
  collectMs: 600_000,
  pauseMs: 30_000,
};

/** Waits for something that a guest has to do. If it is not done after `ms`, kills the VM and rejects with the error of `late`. */
export async function withinTime<T>(
  clock: Clock,
  vm: Pick<AgentVm, 'kill'>,
  ms: number,
  work: Promise<T>,
  late: () => Error,
): Promise<T> {
  const settled = new AbortController();
  const timer = clock.sleep(ms, settled.signal).then(() => {
    vm.kill();
    throw late();
  });
  // The one that loses the race may reject later: the timer when it is canceled, and the work when the VM is dead.
  for (const promise of [timer, work]) promise.catch(() => {});
  try {
    return await Promise.race([work, timer]);
  } finally {
    settled.abort();
  }
}
