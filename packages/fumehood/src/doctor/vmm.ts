import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Finding } from '@fumehood/microvm';
import { vmmUnavailable } from '../errors.ts';
import { qemuPath, type VmmOrder, type VmmsOfHost } from '../up/vmm.ts';

/** What the finding about VMMs is made from. */
export interface VmmFacts {
  readonly order: VmmOrder;
  readonly host: VmmsOfHost;
  /** QEMU's version, or what stands for it. */
  readonly qemuVersion: string;
}

/** Says which VMM runs the VMs of each tier, in which version, and why it is not Firecracker. */
export function vmmFinding({ order, host, qemuVersion }: VmmFacts): Finding {
  const check = 'virtual machine monitor';
  const { vmms, firecracker, notFirecracker } = host;
  const qemu = `QEMU ${qemuVersion} (${qemuPath})`;
  if (order.setting === 'firecracker' && notFirecracker !== null) {
    const { remedy } = vmmUnavailable(notFirecracker);
    const detail = `Firecracker alone is asked for, and cannot be used: ${notFirecracker}`;
    return { check, ok: false, detail, ...(remedy !== undefined && { remedy }) };
  }
  if (notFirecracker !== null)
    return { check, ok: true, detail: `${qemu} runs all; Firecracker does not: ${notFirecracker}` };
  const version = firecracker.binary === null ? '' : `${firecracker.version} (${firecracker.binary})`;
  const rest = vmms.emulated ? `, ${qemu} those on an emulated processor` : '';
  return { check, ok: true, detail: `Firecracker ${version} runs those on hardware${rest}` };
}

/** Returns QEMU's version as QEMU says it. */
export async function qemuVersion(): Promise<string> {
  const options = { timeout: 10_000, killSignal: 'SIGKILL', maxBuffer: 65_536 } as const;
  const { stdout } = await promisify(execFile)(qemuPath, ['--version'], options).catch(() => ({
    stdout: '',
  }));
  return /^QEMU emulator version ([0-9][0-9a-z.-]{0,40})/.exec(stdout)?.[1] ?? 'of an unknown version';
}
