import {
  chooseVmms,
  type FirecrackerFound,
  findFirecracker,
  type VmmSetting,
  vmmSettingSchema,
  vmmSettings,
  type Vmms,
} from '@fumehood/executor';
import type { HostReport } from '@fumehood/microvm';
import { usage, vmmUnavailable } from '../errors.ts';
import type { State } from '../state/state.ts';
import { canaryIdentity } from './identities.ts';
import { adminSettings } from './settings.ts';

export const qemuPath = '/usr/bin/qemu-system-x86_64';

/** What was asked for: which VMM, and which Firecracker. */
export interface VmmOrder {
  readonly setting: VmmSetting;
  /** Path of a Firecracker binary; null for the newest installed version. */
  readonly firecracker: string | null;
}

/** What VMs run on, and why that is not Firecracker; null if it is, for those with hardware virtualization. */
export interface VmmsOfHost {
  readonly vmms: Vmms;
  readonly notFirecracker: string | null;
  readonly firecracker: FirecrackerFound;
}

/** Returns the setting that FUMEHOOD_VMM names, if it is set. Errors: `usage`. */
export function vmmOfEnvironment({ FUMEHOOD_VMM: text }: NodeJS.ProcessEnv): VmmSetting | undefined {
  if (text === undefined) return undefined;
  const parsed = vmmSettingSchema.safeParse(text);
  if (!parsed.success)
    throw usage(
      `FUMEHOOD_VMM is ${JSON.stringify(text)}`,
      `Set it to one of ${vmmSettings.join(', ')}, or unset it.`,
    );
  return parsed.data;
}

/**
 * Returns the order: `asked` before the environment, and both before `settings.json`. Errors: `usage`, `settings_invalid`.
 */
export function vmmOrder(
  state: State,
  environment: NodeJS.ProcessEnv,
  asked: VmmSetting | undefined,
): VmmOrder {
  const settings = adminSettings(state);
  const { FUMEHOOD_FIRECRACKER: binary } = environment;
  if (binary !== undefined && !binary.startsWith('/'))
    throw usage(
      `FUMEHOOD_FIRECRACKER is ${JSON.stringify(binary)}`,
      'Set it to the absolute path of a Firecracker binary, or unset it.',
    );
  return {
    setting: asked ?? vmmOfEnvironment(environment) ?? settings.vmm,
    firecracker: binary ?? settings.firecracker,
  };
}

/** What `vmmsOfHost` needs of its host. */
export interface VmmsDeps {
  readonly state: State;
  readonly root: boolean;
  /** Boots a canary on a VMM. Resolves with why no guest runs on it, or null. */
  readonly canary: (vmm: NonNullable<Vmms['kvm']>) => Promise<string | null>;
}

/**
 * Chooses the VMMs of this host, after a canary has shown what it can run on QEMU. Firecracker is only taken if a guest runs on it, too.
 */
export async function vmmsOfHost(
  order: VmmOrder,
  { accelerations }: Pick<HostReport, 'accelerations'>,
  { state, root, canary }: VmmsDeps,
): Promise<VmmsOfHost> {
  const host = { named: order.firecracker, directory: state.firecracker, identity: canaryIdentity(root) };
  const choose = (firecracker: FirecrackerFound): VmmsOfHost => {
    const facts = { accelerations, firecracker, root, qemu: qemuPath };
    return { ...chooseVmms(order.setting, facts), firecracker };
  };
  if (order.setting === 'qemu') return choose({ binary: null, why: 'it was not looked for' });
  const chosen = choose(await findFirecracker(host));
  if (chosen.notFirecracker !== null || !chosen.vmms.kvm) return chosen;
  const why = await canary(chosen.vmms.kvm);
  return why === null ? chosen : choose({ binary: null, why: `a guest does not run on it: ${why}` });
}

/** Refuses to go on without the VMM that was asked for. Errors: `vmm_unavailable`. */
export function requireVmm({ setting }: VmmOrder, { notFirecracker }: VmmsOfHost): void {
  if (setting === 'firecracker' && notFirecracker !== null) throw vmmUnavailable(notFirecracker);
}
