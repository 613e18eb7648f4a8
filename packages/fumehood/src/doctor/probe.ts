import type { Clock } from '@fumehood/base';
import { type GuestImage, type HostReport, probeHost, vmmOf } from '@fumehood/microvm';
import type { Tier } from '@fumehood/protocol';
import type { Runtime } from '../runtime/runtime.ts';
import type { State } from '../state/state.ts';
import { canaryIdentity } from '../up/identities.ts';
import { qemuPath } from '../up/settings.ts';

/**
 * Boots a canary VM on this host unless an earlier verdict holds. Returns the report, and the tiers that this host offers, strongest
 * first.
 */
export async function probeThisHost(deps: {
  readonly state: State;
  readonly clock: Clock;
  readonly root: boolean;
  readonly runtime: Runtime;
  readonly guest: GuestImage;
  /** Boots the canary even if an earlier verdict holds. */
  readonly fresh: boolean;
  readonly onProgress: (line: string) => void;
}): Promise<{ readonly report: HostReport; readonly tiers: readonly Tier[] }> {
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
  const tierOf = { kvm: 'vm-hardware', emulated: 'vm-emulated' } as const;
  return { report, tiers: report.accelerations.map((acceleration) => tierOf[acceleration]) };
}
