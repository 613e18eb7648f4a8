import type { BrokerGrant, EgressPolicy, QueueName, Receipt } from '@fumehood/protocol';
import type { GuestSockets, LauncherSockets, LeftOver, VmExit, VmSpec } from '@fumehood/microvm';

/** What a VM started from: a template, or a kernel, and the code and the message of why not a template. */
export type VmOrigin =
  | { readonly template: string }
  | { readonly boots: { readonly code: string; readonly message: string } };

/** A VM of the agent. It runs from the first renewal. */
export interface AgentVm {
  readonly origin: VmOrigin;
  readonly sockets: LauncherSockets;
  /** Resolves when the guest has connected, which it does after the first renewal. */
  readonly guest: Promise<GuestSockets>;
  /** Resolves when the VMM is dead; never rejects. */
  readonly exited: Promise<VmExit>;
  /** Checks the running VMM from outside. Errors: `vm_refused` when its seccomp filter is not active. */
  check(): Promise<void>;
  /** Counts each needle in the guest's memory and scratch disk. The caller pauses the VM first. */
  search(
    needles: readonly Buffer[],
  ): Promise<{ readonly searchedBytes: number; readonly found: readonly number[] }>;
  /** Kills the VM, removes everything of it from the host, and counts what is left. */
  destroy(): Promise<LeftOver>;
  /** Sets the boot time, in ms, at which the launcher kills the VM. */
  renew(deadline: number): void;
  kill(): void;
}

/** How a VM is started, and what its guest may reach. */
export interface VmOptions {
  /** Boots the VM also where there is a template for it. */
  readonly boots: boolean;
  /** `none`: the guest has no network interface, unless it can use the broker. */
  readonly policy: EgressPolicy;
  /** The entries of the broker that the guest can use. */
  readonly broker: readonly BrokerGrant[];
  /** The queue of the job, for which private hosts may be opened; null: of none. */
  readonly queue: QueueName | null;
  /** Is told what the guest asked of the network. */
  readonly onReceipt: (receipt: Receipt) => void;
}

/** Options of a VM without a network. */
export const withoutNetwork = { policy: { mode: 'none' }, broker: [], queue: null, onReceipt() {} } as const;

/** Starts VMs for the agent. In production, the helper, which is the agent's privileged parent, does this. */
export interface VmSource {
  /** Starts a clone of a template, or a VM that boots: if `boots`, or if there can be no template for it. */
  startVm(spec: VmSpec, options: VmOptions): Promise<AgentVm>;
}
