import type { Clock } from '@fumehood/base';
import { type GuestImage, type HostReport, probeHost, vmmOf } from '@fumehood/microvm';
import type { Tier } from '@fumehood/protocol';
import type { Runtime } from '../runtime/runtime.ts';
import type { State } from '../state/state.ts';
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
  readonly order: VmmOrder;
  /** Boots the canary even if an earlier verdict holds. */
  readonly fresh: boolean;
  readonly onProgress: (line: string) => void;
}): Promise<VmmsOfHost & { readonly report: HostReport; readonly tiers: readonly Tier[] }> {
  const { state, clock, root, runtime, guest, fresh, onProgress } = deps;
  const report = await probeHost({
    vmm: vmmOf('qemu', qemuPath),
    launcher: runtime.launcher,
    guest,
    runDirectory: state.vms,
    identity: canaryIdentity(root),
    cacheFile: state.probe,
    clock,
    fresh,
    onProgress,
  });
  const chosen = await vmmsOfHost(deps.order, report, { state, root });
  const tiers: readonly Tier[] = [
    ...(chosen.vmms.kvm ? (['vm-hardware'] as const) : []),
    ...(chosen.vmms.emulated ? (['vm-emulated'] as const) : []),
  ];
  return { ...chosen, report, tiers };
}
