import { readdir, readFile } from 'node:fs/promises';
import type { Finding } from './verdict.ts';

/**
 * What serves `/dev/kvm`: the virtualization of the processor, or PVM, a part of the host's kernel (`kvm_pvm`) that needs none and
 * runs only guest kernels that are made for it.
 */
export type KvmServer = 'hardware' | 'pvm';

/** What tells them apart. */
export interface KvmFacts {
  /** Names in `/sys/module`: what is loaded, and what is built into the kernel. */
  readonly modules: readonly string[];
  /** The text of `/proc/cpuinfo`. */
  readonly processor: string;
  /** The guest has another kernel than Debian's (`FUMEHOOD_GUEST_KERNEL`). */
  readonly namedKernel: boolean;
}

/**
 * Returns what serves `/dev/kvm` for a guest that runs on it. Where both could, Debian's kernel shows that it is the processor: PVM does
 * not run it. A named kernel may run on both, so it counts as PVM, the weaker tier.
 */
export function kvmServer({ modules, processor, namedKernel }: KvmFacts): KvmServer {
  if (!modules.includes('kvm_pvm')) return 'hardware';
  const hasVirtualization = /^flags\s*:.*\b(vmx|svm)\b/m.test(processor);
  return hasVirtualization && !namedKernel ? 'hardware' : 'pvm';
}

/** Returns what serves this host's `/dev/kvm`. */
export async function kvmServerOfHost(namedKernel: boolean): Promise<KvmServer> {
  const modules = await readdir('/sys/module').catch(() => []);
  return kvmServer({ modules, processor: await readFile('/proc/cpuinfo', 'latin1'), namedKernel });
}

/** Returns what a host would gain whose `/dev/kvm` runs no guest for want of a kernel; else null. No canary is booted there: it would hang. */
export function kernelMissing(server: KvmServer, namedKernel: boolean): Finding | null {
  if (server === 'hardware' || namedKernel) return null;
  return {
    check: 'virtualization by PVM',
    ok: false,
    detail: 'PVM (kvm_pvm) serves /dev/kvm. It runs only kernels that are made for it, and none is named',
    remedy:
      'With such a kernel, jobs run at nearly the speed of hardware, in the tier vm-pvm: build Linux with CONFIG_PVM_GUEST and without modules, and name its vmlinux in FUMEHOOD_GUEST_KERNEL. Or use a machine with hardware virtualization, or accept emulation: --accept vm-emulated',
  };
}
