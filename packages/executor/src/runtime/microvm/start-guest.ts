import { type Clock, factsOf } from '@fumehood/base';
import {
  type Acceleration,
  connectGuest,
  type Guest,
  type GuestFacts,
  type VmExit,
  type VmSpec,
} from '@fumehood/microvm';
import { diskFull, guestUnconfirmed, leaseLost, vmmDied } from '../../errors.ts';
import type { Lease } from '../../uplink/leases.ts';
import { withinTime } from './guest-limits.ts';
import type { AgentVm, VmOptions, VmSource } from './vm-source.ts';

/** How long a VM may live, and what tells it to stop: the lease of its job. */
export type Lifetime = Pick<Lease, 'stopped' | 'killed' | 'deadline' | 'onRenewed'>;

/** A VM that has started, and the connection to its guest. */
export interface RunningVm {
  readonly vm: AgentVm;
  readonly guest: Guest;
  readonly facts: GuestFacts;
  /** What `prepare` returned. */
  readonly prepared: Promise<void>;
}

export interface StartOptions extends VmOptions {
  /**
   * Sends what the guest shall do before its first step: init does it while the answer to the knock is on its way, and starts no step
   * before the host has accepted that answer. Nothing secret may be sent here.
   */
  readonly prepare?: (guest: Guest) => Promise<void>;
}

/**
 * Time, in ms, after which a guest that boots or a clone that loads is taken for hung. Under emulation and alone, they take 2 s and
 * 0.2 s; of many that start at once, each takes as many times longer. The hardware of a virtual machine can be slower than emulation.
 */
const readyMs: Readonly<Record<Acceleration, number>> = { emulated: 20_000, kvm: 30_000 };

/**
 * Starts a VM, and waits until its guest is ready and has confirmed that it is unique (docs/invariants.md, 12). From its first moment,
 * the VM lives no longer than the lease. The caller destroys it, also when this rejects: `onStarted` is called as soon as there is
 * something to destroy. The caller decides what `stopped` does to a VM that has started.
 */
export async function startGuest(
  source: VmSource,
  spec: VmSpec,
  { prepare, ...options }: StartOptions,
  lease: Lifetime,
  clock: Clock,
  onStarted: (vm: AgentVm) => void,
): Promise<RunningVm> {
  lease.stopped.throwIfAborted();
  const vm = await source.startVm(spec, options);
  onStarted(vm);
  // Nobody reads the guest's console. Its output is discarded, because a full socket can block the guest.
  vm.sockets.console.resume();
  vm.renew(lease.deadline());
  lease.onRenewed((deadline) => vm.renew(deadline));
  const kill = () => vm.kill();
  lease.killed.addEventListener('abort', kill, { once: true });
  if (lease.stopped.aborted) kill();
  const limitMs = readyMs[spec.acceleration];
  const sockets = await withinTime(clock, vm, limitMs, vm.guest, () => guestUnconfirmed(limitMs));
  const guest = connectGuest(sockets, clock);
  if ('boots' in vm.origin) await Promise.race([guest.ready(limitMs), guest.broken]);
  const knocked = Promise.race([guest.knock(), guest.broken]);
  const prepared = prepare?.(guest) ?? Promise.resolve();
  prepared.catch(() => {}); // whoever waits for it is told
  const facts = await withinTime(clock, vm, limitMs, knocked, () => guestUnconfirmed(limitMs));
  await vm.check();
  return { vm, guest, facts, prepared };
}

/** Codes of errors whose message comes from this host, and never from a guest. */
const hostCodes = new Set(['internal', 'program_failed', 'spawn_failed', 'vm_refused']);
/** Messages of Node and of the programs that the host runs. */
const diskFullMessage = /ENOSPC|EDQUOT|No space left on device|Disk quota exceeded/i;

/**
 * Returns the root cause of an error of a running VM: the reason for which the job was stopped, a full disk of this host, or the
 * death of the VMM. Returns the error itself when there is no other cause.
 */
export async function explainFailure(error: unknown, vm: AgentVm | null, lease: Lifetime): Promise<unknown> {
  if (lease.stopped.aborted) return lease.stopped.reason;
  const { code, message } = factsOf(error);
  if (hostCodes.has(code) && diskFullMessage.test(message)) return diskFull(message.slice(0, 500));
  const mayBeDeath = ['guest_not_ready', 'guest_protocol', 'internal'].includes(code);
  const exit = vm && mayBeDeath && (await Promise.race([vm.exited, exitReportTimeout()]));
  if (!exit) return error;
  if (exit.reason === 'lease') return leaseLost('the VM outlived it and was killed');
  return vmmDied(describeExit(exit), exit.stderr.trim().slice(-500));
}

function describeExit({ reason, code, signal }: VmExit): string {
  return `${reason}, ${signal === null ? `code ${code}` : `signal ${signal}`}`;
}

/** The exit of a dead VMM is reported within this time, 200 ms. */
function exitReportTimeout(): Promise<null> {
  return new Promise((resolve) => {
    setTimeout(resolve, 200, null).unref();
  });
}
