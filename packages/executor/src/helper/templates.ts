import { stat } from 'node:fs/promises';
import { systemClock } from '@fumehood/base';
import { vmRefused } from '../errors.ts';
import type { OpenVmms } from '../host/vmms.ts';
import type { Log } from '../log.ts';
import { makeTemplate, openTemplates, type Templates, type VmHost } from '@fumehood/microvm';

/**
 * Opens the templates of a host's VMs, within `memoryMiB`. While one is made, its VM runs as `uid`; null without root, where it runs as
 * its parent. A failure to make one goes to `log`.
 */
export function hostTemplates(
  host: Omit<VmHost, 'identity' | 'vmm'>,
  vmms: OpenVmms,
  uid: number | null,
  memoryMiB: number,
  log: Pick<Log, 'warn'>,
): Templates {
  const identity = uid === null ? null : { uid, gid: uid };
  return openTemplates({
    memoryMiB,
    async make(shape) {
      const vmm = vmms[shape.acceleration];
      if (!vmm) throw vmRefused(`this executor has no VMM for ${shape.acceleration} processors`);
      return await makeTemplate(shape, { ...host, vmm, identity }, systemClock);
    },
    async inputs() {
      const facts = [host.guest.digest];
      for (const vmm of [vmms.kvm, vmms.emulated]) {
        if (!vmm) continue;
        const { ino, mtimeMs, size } = await stat(vmm.binary);
        facts.push(`${vmm.name} ${ino} ${mtimeMs} ${size}`);
      }
      return facts.join(' ');
    },
    clock: systemClock,
    onFailure: (shape, { code, message }) => log.warn({ shape, code }, message),
  });
}
