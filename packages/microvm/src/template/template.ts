import { randomBytes } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Clock, factsOf, type FumehoodError } from '@fumehood/base';
import { connectGuest } from '../channel/guest.ts';
import { guestNotReady, templateFailed } from '../errors.ts';
import { ranOutOfMemory } from '../jail/cgroups.ts';
import { giveScratchDisk, makeBlankDisk, makeBlankScratchDisk } from '../vm/disks.ts';
import { listenForState, type StateSocket } from './receive-state.ts';
import type { VmHost } from '../vm/host.ts';
import { endProcesses } from '../vm/leftover.ts';
import { launchVm, openGuest, removeVm, type TemplateFiles } from '../vm/start.ts';
import { type Acceleration, type VmExit, type VmSpec, vmDisksMax, vmName } from '../vm/spec.ts';

/** What the clones of a template have in common. */
export interface Shape {
  readonly acceleration: Acceleration;
  readonly cpus: number;
  readonly memoryMiB: number;
  /** Read-only disks that a clone may have: `slotsFor`. */
  readonly slots: number;
  readonly network?: boolean;
}

/**
 * Returns the slots of the template for a VM with so many read-only disks. Each is a device of the VMM, which a clone loads and keeps in
 * memory also when nothing is in it, and most jobs have an image and a workspace.
 */
export function slotsFor(disks: number): number {
  return disks <= 4 ? 4 : vmDisksMax;
}

/**
 * A VM that was saved before it had seen anything of a tenant. Its memory and its state are in this host's memory alone, sealed against
 * every change: nobody can tamper with them, and none outlives this process.
 */
export interface Template {
  readonly id: string;
  readonly files: TemplateFiles;
  /** Frees its memory. Clones that run keep what they need. */
  remove(): Promise<void>;
}

/**
 * Time for a template to boot and to be saved, ms. Under emulation it takes 2 s, and one boot in hundreds hangs. On hardware none does, but
 * the hardware of a virtual machine can be slower than emulation.
 */
const makingMs: Readonly<Record<Acceleration, number>> = { emulated: 10_000, kvm: 60_000 };

/**
 * Boots a VM until init serves, saves it, and has its launcher seal its memory and the state of its devices. Every slot for a disk has an
 * empty one, so that any disk can take its place in a clone. Errors: `template_not_ready`, `template_interrupted`,
 * `template_out_of_memory`, `vm_refused`.
 */
export async function makeTemplate(
  { slots, ...shape }: Shape,
  host: VmHost,
  clock: Clock,
): Promise<Template> {
  const spec: VmSpec = {
    ...shape,
    id: `template-${randomBytes(4).toString('hex')}`,
    scratchMiB: 1,
    disks: [],
  };
  const path = (kind: string) => join(host.runDirectory, `${vmName(spec.id)}.${kind}`);
  const stateSocket = host.vmm.makesMemory ? null : await listenForState(path('sock'), host.identity);
  try {
    return await saveTemplate(
      spec,
      Math.min(slots, host.vmm.templateDisksMax),
      host,
      clock,
      path,
      stateSocket,
    );
  } finally {
    await stateSocket?.close();
  }
}

async function saveTemplate(
  spec: VmSpec,
  slots: number,
  host: VmHost,
  clock: Clock,
  path: (kind: string) => string,
  stateSocket: StateSocket | null,
): Promise<Template> {
  const limitMs = makingMs[spec.acceleration];
  const { vm, launched, scratch } = await launchVm(spec, host, true, async (keep) => {
    // QEMU locks what it writes to, so the scratch disk and the others are two files.
    const disk = await makeBlankScratchDisk(path('ext4'));
    const [scratch, scratchReader] = disk.map(keep) as typeof disk;
    await giveScratchDisk(disk, host.identity);
    const [writer, blank] = await makeBlankDisk(path('blank'));
    for (const file of [writer, blank]) keep(file);
    const files = { start: await openGuest(host, keep), disks: [], slots, blank, scratch, scratchReader };
    return stateSocket ? { ...files, stateSocket: keep(stateSocket.file) } : files;
  });
  const { launcher, sockets, exited, fds } = launched;
  // Nobody serves the guest of a template: it sends nothing.
  void launched.network?.then(({ handles }) => Object.values(handles).forEach((handle) => handle.close()));
  let console = '';
  let stage: 'not_ready' | 'interrupted' = 'not_ready';
  const opened: FileHandle[] = [];
  const inLauncher = async (fd: number, flags: 'r' | 'r+' = 'r') => {
    const file = await open(`/proc/${launcher.pid}/fd/${fd}`, flags);
    opened.push(file);
    return file;
  };
  const remove = async () => {
    for (const file of opened.splice(0)) await file.close();
  };
  try {
    sockets.console.on('data', (chunk: Buffer) => {
      console = (console + chunk.toString('latin1')).slice(-300);
    });
    sockets.lease.write(`R ${Math.floor(clock.bootTime() + limitMs)}\n`);
    const { sockets: guestSockets, version } = await launched.guest;
    const guest = connectGuest(guestSockets, clock);
    await Promise.race([guest.ready(limitMs), guest.broken]);
    stage = 'interrupted';
    const memory = await inLauncher(fds.memory as number);
    const state = await inLauncher(fds.savedState as number, stateSocket ? 'r+' : 'r');
    const saved = host.vmm.openMonitor(guestSockets.monitor).save(fds);
    await Promise.race([Promise.all([saved, stateSocket?.receive(state)]), guest.broken]);
    sockets.lease.write('S\n');
    const { reason } = await exited;
    if (reason !== 'sealed') throw guestNotReady('it was not sealed');
    return { id: spec.id, files: { memory, state, slots, version }, remove };
  } catch (error) {
    await remove();
    const exit = await Promise.race([exited, delay(200, null)]);
    const outOfMemory = host.cgroups && (await ranOutOfMemory(vm.name));
    throw failureOf({ error, limitMs, stage, exit, outOfMemory, console });
  } finally {
    // What remains are the two files. Their memory was charged to the cgroup of this VM, and is now to the one above it.
    launcher.kill('SIGKILL');
    await exited;
    await endProcesses(vm);
    await scratch.close();
    await removeVm(vm, host);
  }
}

/** Returns why a template was not made. `exit`: how its VM ended, if it has. `console`: the end of what its guest wrote. */
export function failureOf(facts: {
  readonly error: unknown;
  readonly limitMs: number;
  readonly stage: 'not_ready' | 'interrupted';
  readonly exit: VmExit | null;
  readonly outOfMemory: boolean;
  readonly console: string;
}): FumehoodError {
  const { limitMs, stage, exit, console } = facts;
  const { message } = factsOf(facts.error);
  const outOfMemory =
    facts.outOfMemory || /ENOMEM|Cannot allocate memory/.test(`${exit?.stderr ?? ''} ${message}`);
  const why = exit ? describeEnd(exit, limitMs) : message;
  return templateFailed(
    outOfMemory ? 'out_of_memory' : stage,
    console ? `${why}; its console: ${console}` : why,
  );
}

function describeEnd({ reason, signal, code, stderr }: VmExit, limitMs: number): string {
  if (reason === 'lease') return `it took longer than ${limitMs / 1000} s`;
  const complaints = stderr.trim().slice(-300);
  return `its VMM ended (${reason}, ${signal === null ? `code ${code}` : `signal ${signal}`})${complaints && `: ${complaints}`}`;
}
