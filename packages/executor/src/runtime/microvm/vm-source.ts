import type { LeftOver, VmExit, VmSockets, VmSpec } from '@fumehood/microvm';

/** A VM as the agent holds it. It boots at the first renewal. */
export interface AgentVm {
  readonly sockets: VmSockets;
  /** Resolves when the VMM is dead; never rejects. */
  readonly exited: Promise<VmExit>;
  /** Looks at the VMM from outside, once it runs. Errors: `vm_refused` when its seccomp filter is not on. */
  check(): Promise<void>;
  /** Counts the needles in the guest's memory and scratch disk. Pause the VM first. */
  search(
    needles: readonly Buffer[],
  ): Promise<{ readonly searchedBytes: number; readonly found: readonly number[] }>;
  /** Kills it, removes everything of it, and counts what stayed. */
  destroy(): Promise<LeftOver>;
  /** It may live until then (boot time, ms), and no longer. */
  renew(deadline: number): void;
  kill(): void;
}

/** Who starts VMs for the agent: the helper, its privileged parent. */
export interface VmSource {
  startVm(spec: VmSpec): Promise<AgentVm>;
}
