import type { Clock } from '@fumehood/base';
import { type GuestImage, type HostReport, probeHost, probeVmm, vmmOf } from '@fumehood/microvm';
import type { Tier } from '@fumehood/protocol';
import type { Runtime } from '../runtime/runtime.ts';
import type { State } from '../state/state.ts';
import { guestKernel } from '../up/guest.ts';
import { canaryIdentity } from '../up/identities.ts';
import { qemuPath, type VmmOrder, type VmmsOfHost, vmmsOfHost } from '../up/vmm.ts';

/**
 * Boots a canary VM on this host unless an earlier verdict holds. Returns the report, the VMMs that are chosen, and the tiers that
 * this host offers with them, strongest first.
 */
export async function probeThisHost(deps: {
  readonly state: State;
  readonly clock: Clock;
  readonly root: boolean;
  readonly runtime: Runtime;
  readonly guest: GuestImage;
  readonly environment: NodeJS.ProcessEnv;
  readonly order: VmmOrder;
  /** Boots the canary even if an earlier verdict holds. */
  readonly fresh: boolean;
  readonly onProgress: (line: string) => void;
}): Promise<VmmsOfHost & { readonly report: HostReport; readonly tiers: readonly Tier[] }> {
  const { state, clock, root, runtime, guest, fresh, onProgress } = deps;
  const probe = {
    launcher: runtime.launcher,
    guest,
    runDirectory: state.vms,
    identity: canaryIdentity(root),
    clock,
    fresh,
    onProgress,
    namedKernel: guestKernel(deps.environment) !== undefined,
  };
  const report = await probeHost({ ...probe, vmm: vmmOf('qemu', qemuPath), cacheFile: state.probe });
  const chosen = await vmmsOfHost(deps.order, report, {
    ...{ state, root },
    canary: ({ name, binary }) =>
      probeVmm({ ...probe, vmm: vmmOf(name, binary), cacheFile: state.firecrackerProbe }),
  });
  return { ...chosen, report, tiers: tiersOf(chosen.vmms, report) };
}

/** Returns the tiers of these VMMs, strongest first. */
export function tiersOf({ kvm, emulated }: VmmsOfHost['vmms'], report: Pick<HostReport, 'kvm'>): Tier[] {
  return [
    ...(kvm ? ([report.kvm === 'pvm' ? 'vm-pvm' : 'vm-hardware'] as const) : []),
    ...(emulated ? (['vm-emulated'] as const) : []),
  ];
}
