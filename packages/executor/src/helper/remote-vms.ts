import type { Socket } from 'node:net';
import { FumehoodError, receiveMessages, sendMessage } from '@fumehood/base';
import type { Receipt } from '@fumehood/protocol';
import {
  type GuestSockets,
  guestSocketNames,
  type LauncherSockets,
  launcherSocketNames,
  type LeftOver,
  type VmExit,
} from '@fumehood/microvm';
import { helperGone } from '../errors.ts';
import type { AgentVm, VmOrigin, VmSource } from '../runtime/microvm/vm-source.ts';
import { type VmAnswer, type VmCall, vmAnswerSchema } from './messages.ts';

type Found = Omit<Extract<VmAnswer, { type: 'vm.found' }>, 'type' | 'id'>;

interface Pending {
  origin: VmOrigin | null;
  readonly onReceipt: (receipt: Receipt) => void;
  readonly sockets: Map<string, Socket>;
  readonly started: PromiseWithResolvers<void>;
  readonly guest: PromiseWithResolvers<GuestSockets>;
  readonly exited: PromiseWithResolvers<VmExit>;
  checked: PromiseWithResolvers<void> | null;
  found: PromiseWithResolvers<Found> | null;
  destroyed: PromiseWithResolvers<LeftOver> | null;
}

/** Returns a source of VMs that this process's helper starts, over its IPC channel: the agent's side of `serveVms`. */
export function remoteVms(): VmSource {
  const pending = new Map<number, Pending>();
  let lastId = 0;
  const call = (message: VmCall) => {
    if (!process.connected) throw helperGone();
    void sendMessage(process, message);
  };
  const refuse = (entry: Pending, error: Error) => {
    (entry.destroyed ?? entry.found ?? entry.checked ?? entry.started).reject(error);
  };
  receiveMessages(process, vmAnswerSchema, (answer, socket) => {
    const entry = pending.get(answer.id);
    if (!entry || entry.destroyed) socket?.destroy(); // the VM is being removed
    if (!entry) return;
    switch (answer.type) {
      case 'vm.started':
        entry.origin = answer.origin;
        break;
      case 'vm.socket':
        socket?.on('error', () => {}); // a launcher or a VMM is gone, and `vm.exited` says why
        entry.sockets.set(answer.name, socket as Socket);
        if (entry.sockets.size === launcherSocketNames.length) entry.started.resolve();
        if (entry.sockets.size === launcherSocketNames.length + guestSocketNames.length)
          entry.guest.resolve(Object.fromEntries(entry.sockets) as unknown as GuestSockets);
        break;
      case 'vm.receipt':
        entry.onReceipt(answer.receipt);
        break;
      case 'vm.unconnected':
        entry.guest.reject(new FumehoodError(answer.error));
        break;
      case 'vm.exited':
        entry.exited.resolve(answer.exit);
        break;
      case 'vm.checked':
        entry.checked?.resolve();
        entry.checked = null;
        break;
      case 'vm.found':
        entry.found?.resolve(answer);
        entry.found = null;
        break;
      case 'vm.destroyed':
        pending.delete(answer.id);
        entry.destroyed?.resolve(answer.left);
        break;
      case 'vm.refused':
        refuse(entry, new FumehoodError(answer.error));
        break;
    }
  });
  process.on('disconnect', () => {
    for (const entry of pending.values()) {
      entry.guest.reject(helperGone());
      refuse(entry, helperGone());
    }
  });
  return {
    async startVm(spec, { boots, policy, broker, queue, onReceipt }) {
      const id = ++lastId;
      const entry: Pending = {
        origin: null,
        onReceipt,
        sockets: new Map(),
        started: Promise.withResolvers(),
        guest: Promise.withResolvers(),
        exited: Promise.withResolvers(),
        checked: null,
        found: null,
        destroyed: null,
      };
      entry.guest.promise.catch(() => {}); // whoever waits for it is told
      pending.set(id, entry);
      try {
        call({
          type: 'vm.start',
          id,
          boots,
          policy,
          broker: [...broker],
          queue,
          spec: { ...spec, disks: [...spec.disks] },
        });
        await entry.started.promise;
      } catch (error) {
        pending.delete(id);
        throw error;
      }
      return agentVm(id, entry, call);
    },
  };
}

function agentVm(id: number, entry: Pending, call: (message: VmCall) => void): AgentVm {
  const sockets = Object.fromEntries(entry.sockets) as unknown as LauncherSockets;
  return {
    origin: entry.origin as VmOrigin,
    sockets,
    guest: entry.guest.promise,
    exited: entry.exited.promise,
    async check() {
      entry.checked = Promise.withResolvers();
      const { promise } = entry.checked;
      call({ type: 'vm.check', id });
      await promise;
    },
    async search(needles) {
      entry.found = Promise.withResolvers();
      const { promise } = entry.found;
      call({ type: 'vm.search', id, needles: needles.map((needle) => needle.toString('base64')) });
      const { searchedBytes, found } = await promise;
      return { searchedBytes, found };
    },
    async destroy() {
      for (const socket of entry.sockets.values()) socket.destroy();
      if (!entry.destroyed) {
        entry.destroyed = Promise.withResolvers();
        call({ type: 'vm.destroy', id });
      }
      return entry.destroyed.promise;
    },
    renew: (deadline) => void sockets.lease.write(`R ${Math.floor(deadline)}\n`),
    kill: () => void sockets.lease.write('K\n'),
  };
}
