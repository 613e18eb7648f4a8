import type { ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { ipcError, receiveMessages, sendMessage, systemClock } from '@fumehood/base';
import {
  makeScratchDisk,
  openScratchDisks,
  slotsFor,
  guestSocketNames,
  launcherSocketNames,
  type NetworkHandles,
  startVm,
  type Templates,
  type VmHost,
  type VmProcess,
  type VmSpec,
} from '@fumehood/microvm';
import type { VmOrigin } from '../runtime/microvm/vm-source.ts';
import { openReservations, type Reservations } from '../agent/reservations.ts';
import { vmRefused } from '../errors.ts';
import { type EgressPolicy, narrowEgress } from '@fumehood/protocol';
import type { Networks } from './networks.ts';
import type { OpenVmms } from '../host/vmms.ts';
import type { Resources } from '../uplink/queue.ts';
import { type VmAnswer, type VmCall, vmCallSchema } from './messages.ts';

/** The host of an agent's VMs, and their identities: each VM has one of its own. */
export interface VmPolicy {
  readonly host: Omit<VmHost, 'identity' | 'vmm'>;
  readonly vmms: OpenVmms;
  readonly templates: Templates;
  readonly networks: Networks;
  /** What guests may reach at most, whatever the agent asks for. */
  readonly egressCeiling: EgressPolicy;
  /** What all VMs and their VMMs may use together. */
  readonly resources: Resources;
  /** The first of `maxVms` consecutive uids, which are gids too; null without root. */
  readonly firstUid: number | null;
  readonly maxVms: number;
}

/** The VMs that run for an agent. */
export interface ServedVms {
  /** Kills and removes all VMs and their templates. */
  destroyAll(): Promise<void>;
}

/**
 * Starts VMs for an unprivileged child process, which asks for them over its IPC channel. Checks each spec, because the child is not
 * trusted, and hands the VM's sockets over. The VM runs nothing until the agent writes to its lease socket, so this process reads
 * no byte of a guest.
 */
export function serveVms(child: ChildProcess, policy: VmPolicy): ServedVms {
  const running = new Map<
    number,
    { vm: Promise<VmProcess>; slot: number; scratchMiB: number; release: () => void }
  >();
  const reservations = openReservations(policy.resources);
  /** The scratch disks of destroyed VMs whose space the host does not have yet, MiB. */
  const freeing = new Map<Promise<void>, number>();
  const freeMiB = () =>
    (reservations.free()?.scratchMiB ?? 0) - [...freeing.values()].reduce((total, one) => total + one, 0);
  let scratchMade = 0;
  const scratchDisks = openScratchDisks({
    make: (sizeMiB) =>
      makeScratchDisk(join(policy.host.runDirectory, `fumehood-scratch-${++scratchMade}.ext4`), sizeMiB),
    freeMiB,
    sleep: (ms) => systemClock.sleep(ms),
  });
  const answer = (message: VmAnswer, socket?: Socket) => void sendMessage(child, message, socket);
  const freeSlot = () => {
    const taken = new Set([...running.values()].map(({ slot }) => slot));
    for (let slot = 0; slot < policy.maxVms; slot++) if (!taken.has(slot)) return slot;
    throw vmRefused(`${policy.maxVms} virtual machines are running already`);
  };
  const start = async ({
    id,
    spec: asked,
    boots,
    policy: wanted,
    queue,
    broker,
  }: Extract<VmCall, { type: 'vm.start' }>) => {
    const egress = narrowEgress(policy.egressCeiling, wanted);
    const spec = { ...asked, network: egress.mode !== 'none' || broker.length > 0 };
    if (spec.scratchMiB > freeMiB()) await Promise.all(freeing.keys());
    if (running.has(id)) throw vmRefused('its id is in use');
    if (!child.connected) throw vmRefused('the agent is gone');
    const vmm = policy.vmms[spec.acceleration];
    if (!vmm) throw vmRefused(`this executor has no VMM for ${spec.acceleration} processors`);
    const slot = freeSlot();
    const release = reserve(reservations, spec);
    const uid = policy.firstUid === null ? null : policy.firstUid + slot;
    const identity = uid === null ? null : { uid, gid: uid };
    const host = { ...policy.host, vmm, scratchDisks, identity };
    const starting = startFromTemplate(spec, host, boots ? null : policy.templates);
    const entry = { vm: starting.then(({ vm }) => vm), slot, scratchMiB: spec.scratchMiB, release };
    entry.vm.catch(() => {}); // the caller of `start` is told
    running.set(id, entry);
    const { vm, origin, done } = await starting.catch((error: unknown) => {
      running.delete(id);
      release();
      throw error;
    });
    entry.release = () => {
      release();
      done();
    };
    if (vm.network) await serveNetwork(id, vm.network, { policy: egress, broker, queue });
    answer({ type: 'vm.started', id, origin });
    for (const name of launcherSocketNames) answer({ type: 'vm.socket', id, name }, vm.sockets[name]);
    vm.guest.then(
      (guest) => {
        for (const name of guestSocketNames) answer({ type: 'vm.socket', id, name }, guest[name]);
      },
      (error: unknown) => answer({ type: 'vm.unconnected', id, error: ipcError(error) }),
    );
    void vm.exited.then((exit) => answer({ type: 'vm.exited', id, exit }));
  };
  const serveNetwork = async (
    id: number,
    handles: Promise<NetworkHandles>,
    limits: Parameters<Networks['open']>[2],
  ) => {
    try {
      await policy.networks.open(id, await handles, limits, (receipt) =>
        answer({ type: 'vm.receipt', id, receipt }),
      );
    } catch (error) {
      await destroy(id);
      throw error;
    }
  };
  const vmOf = (id: number) => {
    const entry = running.get(id);
    if (!entry) throw vmRefused('no virtual machine has this id');
    return entry.vm;
  };
  const destroy = async (id: number) => {
    const vm = await vmOf(id);
    vm.kill();
    await policy.networks.close(id);
    const left = await vm.destroy();
    const entry = running.get(id);
    if (!entry) return left;
    entry.release();
    running.delete(id);
    const freed = vm.freed.catch(() => {}).finally(() => freeing.delete(freed));
    freeing.set(freed, entry.scratchMiB);
    return left;
  };
  const serve = async (call: VmCall) => {
    const { id } = call;
    if (call.type === 'vm.start') await start(call);
    else if (call.type === 'vm.check') {
      await (await vmOf(id)).check();
      answer({ type: 'vm.checked', id });
    } else if (call.type === 'vm.search') {
      const vm = await vmOf(id);
      const needles = call.needles.map((needle) => Buffer.from(needle, 'base64'));
      answer({ type: 'vm.found', id, ...(await vm.search(needles)) });
    } else answer({ type: 'vm.destroyed', id, left: await destroy(id) });
  };
  receiveMessages(child, vmCallSchema, (call) => {
    serve(call).catch((error: unknown) =>
      answer({ type: 'vm.refused', id: call.id, error: ipcError(error) }),
    );
  });
  return {
    async destroyAll() {
      await Promise.allSettled([...running.keys()].map((id) => destroy(id)));
      await scratchDisks.close();
      await policy.templates.removeAll();
      await policy.networks.stop();
    },
  };
}

/** Starts a clone, or a VM that boots where there is no template for it. The caller calls `done` when the VM has ended. */
export async function startFromTemplate(
  spec: VmSpec,
  host: VmHost,
  templates: Templates | null,
): Promise<{ readonly vm: VmProcess; readonly origin: VmOrigin; readonly done: () => void }> {
  const { acceleration, cpus, memoryMiB, disks, network = false } = spec;
  const { templateDisksMax } = host.vmm;
  if (templates && disks.length > templateDisksMax) {
    const message = `it has ${disks.length} disks, and a template has room for ${templateDisksMax}`;
    const origin = { boots: { code: 'template_too_small', message } };
    return { vm: await startVm(spec, host), origin, done: () => {} };
  }
  const taken = await templates?.take({
    acceleration,
    cpus,
    memoryMiB,
    slots: slotsFor(disks.length),
    network,
  });
  if (!taken?.template) {
    const boots = taken ? taken.why : { code: 'asked', message: 'the executor asked for it' };
    return { vm: await startVm(spec, host), origin: { boots }, done: () => {} };
  }
  const { template, release } = taken;
  try {
    const vm = await startVm(spec, host, template.files);
    return { vm, origin: { template: template.id }, done: release };
  } catch (error) {
    release();
    throw error;
  }
}

/**
 * Reserves what a VM asks for, and returns a function that frees it. The agent keeps the same account, but a taken-over agent would
 * not (docs/invariants.md, 9). Errors: `vm_refused`.
 */
function reserve(reservations: Reservations, spec: Resources): () => void {
  const free = reservations.free() ?? { cpus: 0, memoryMiB: 0, scratchMiB: 0 };
  for (const name of ['cpus', 'memoryMiB', 'scratchMiB'] as const)
    if (spec[name] > free[name])
      throw vmRefused(`it asks for ${name} ${spec[name]}, and ${free[name]} are free on this executor`);
  return reservations.reserve(spec);
}
