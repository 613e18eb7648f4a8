import {
  chooseVmms,
  type FirecrackerFound,
  findFirecracker,
  type VmmSetting,
  vmmSettingSchema,
  vmmSettings,
  type Vmms,
} from '@fumehood/executor';
import { type HostReport, vmmNames } from '@fumehood/microvm';
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

/** Chooses the VMMs of this host, after a canary has shown what it can run. */
export async function vmmsOfHost(
  order: VmmOrder,
  { accelerations }: Pick<HostReport, 'accelerations'>,
  { state, root }: { readonly state: State; readonly root: boolean },
): Promise<VmmsOfHost> {
  const host = { named: order.firecracker, directory: state.firecracker, identity: canaryIdentity(root) };
  const firecracker =
    order.setting === 'qemu' ? { binary: null, why: 'it was not looked for' } : await findFirecracker(host);
  const facts = { accelerations, firecracker, qemu: qemuPath, drivers: vmmNames };
  return { ...chooseVmms(order.setting, facts), firecracker };
}

/** Refuses to go on without the VMM that was asked for. Errors: `vmm_unavailable`. */
export function requireVmm({ setting }: VmmOrder, { notFirecracker }: VmmsOfHost): void {
  if (setting === 'firecracker' && notFirecracker !== null) throw vmmUnavailable(notFirecracker);
}
