import { type Clock, factsOf } from '@fumehood/base';
import {
  type Acceleration,
  connectGuest,
  type Guest,
  type GuestFacts,
  type VmExit,
  type VmSpec,
} from '@fumehood/microvm';
import { diskFull, leaseLost, vmmDied } from '../../errors.ts';
import type { Lease } from '../../uplink/leases.ts';
import type { DiskPlan } from './plan.ts';
import type { AgentVm, VmSource } from './vm-source.ts';

/** A booted VM and the way to its guest. */
export interface RunningVm {
  readonly vm: AgentVm;
  readonly guest: Guest;
  /** The end of the guest's console, for a person: never parsed. */
  console(): string;
}

/** A cold boot takes 2 s under emulation; one that takes this long hangs. */
const readyMs: Readonly<Record<Acceleration, number>> = { emulated: 20_000, kvm: 10_000 };
const consoleMax = 4096;

/**
 * Starts the VM and waits until its guest serves. The VM's life is tied to the lease from its first moment. Whoever calls
 * destroys it, also when this fails: `started` is called as soon as there is something to destroy.
 */
export async function bootVm(
  source: VmSource,
  spec: VmSpec,
  lease: Lease,
  clock: Clock,
  started: (vm: AgentVm) => void,
): Promise<RunningVm> {
  lease.stopped.throwIfAborted();
  const vm = await source.startVm(spec);
  started(vm);
  const guest = connectGuest(vm.sockets, clock);
  let console = '';
  vm.sockets.console.on('data', (chunk: Buffer) => {
    console = (console + chunk.toString('latin1')).slice(-consoleMax);
  });
  vm.renew(lease.deadline());
  lease.onRenewed((deadline) => vm.renew(deadline));
  const kill = () => vm.kill();
  lease.stopped.addEventListener('abort', kill, { once: true });
  if (lease.stopped.aborted) kill();
  await Promise.race([guest.ready(readyMs[spec.acceleration]), guest.broken]);
  await vm.check();
  return { vm, guest, console: () => console };
}

/** Errors whose words are this host's, never a guest's. */
const ofThisHost = new Set(['internal', 'program_failed', 'spawn_failed', 'vm_refused']);
/** Node's words, and those of the programs that we run. */
const noRoom = /ENOSPC|EDQUOT|No space left on device|Disk quota exceeded/i;

/** What an error of a running VM really means: the stop of the job or the death of the VMM come before what they broke. */
export async function explain(error: unknown, vm: AgentVm | null, lease: Lease): Promise<unknown> {
  if (lease.stopped.aborted) return lease.stopped.reason;
  const { code, message } = factsOf(error);
  if (ofThisHost.has(code) && noRoom.test(message)) return diskFull(message.slice(0, 500));
  const ambiguous = ['guest_not_ready', 'guest_protocol', 'internal'].includes(code);
  const dead = vm && ambiguous && (await Promise.race([vm.exited, soon()]));
  if (!dead) return error;
  if (dead.reason === 'lease') return leaseLost('the virtual machine outlived it and was killed');
  return vmmDied(endOf(dead), dead.complaints.trim().slice(-500));
}

function endOf({ reason, code, signal }: VmExit): string {
  return `${reason}, ${signal === null ? `code ${code}` : `signal ${signal}`}`;
}

/** A VMM that is about to be reported dead is so within this time. */
function soon(): Promise<null> {
  return new Promise((resolve) => {
    setTimeout(resolve, 200, null).unref();
  });
}

/** The guest's name of a disk: letters in slot order, the scratch disk last. */
export function devicePath(slot: number): string {
  return `/dev/vd${String.fromCharCode('a'.charCodeAt(0) + slot)}`;
}

export const guestPaths = {
  workspace: '/workspace',
  files: '/run/fumehood',
  root: (step: number) => `/roots/${step}`,
} as const;

/** Makes the clone its own and assembles what the steps see. Mounts are sent without waiting; a refusal shows in `broken`. */
export async function prepareGuest(
  guest: Guest,
  plan: DiskPlan,
  facts: { readonly hostname: string; readonly files: Readonly<Record<string, string>> },
): Promise<GuestFacts> {
  const known = await guest.knock();
  const scratch = devicePath(plan.disks.length);
  guest.mount({ type: 'ext4', source: scratch, target: '/scratch', flags: ['nodev'] });
  for (const slot of new Set(plan.imageSlots)) mountDisk(guest, slot, `/images/${slot}`);
  // Every step gets its image fresh, as from `docker run --rm`.
  plan.imageSlots.forEach((slot, step) => {
    overlay(guest, `/images/${slot}`, `/scratch/roots/${step}`, guestPaths.root(step), 0o755);
  });
  if (plan.workspaceSlot !== null) {
    mountDisk(guest, plan.workspaceSlot, '/commit');
    overlay(guest, '/commit', '/scratch/workspace', guestPaths.workspace, 0o777);
  }
  const hosts = `127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t${facts.hostname}\n`;
  const files = {
    hosts,
    hostname: `${facts.hostname}\n`,
    // There is no network, so there is nobody to ask.
    'resolv.conf': '',
    ...facts.files,
  };
  guest.mkdir(guestPaths.files);
  for (const [name, content] of Object.entries(files)) guest.file(`${guestPaths.files}/${name}`, content);
  // Commands are silent when they succeed and are done in order: an answer to this says that all of them are.
  await Promise.race([guest.ping(), guest.broken]);
  return known;
}

function mountDisk(guest: Guest, slot: number, target: string): void {
  guest.mount({ type: 'squashfs', source: devicePath(slot), target, flags: ['ro', 'nodev'] });
}

/** Not `nosuid`: Docker's images have setuid programs, and everything in here is inside the boundary. */
function overlay(guest: Guest, lower: string, scratch: string, target: string, mode: number): void {
  guest.mkdir(`${scratch}/upper`, mode);
  guest.mkdir(`${scratch}/work`);
  guest.mount({
    type: 'overlay',
    source: 'overlay',
    target,
    flags: ['nodev'],
    data: `lowerdir=${lower},upperdir=${scratch}/upper,workdir=${scratch}/work,redirect_dir=on,index=off`,
  });
}
