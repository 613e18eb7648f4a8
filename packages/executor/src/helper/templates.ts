import { stat } from 'node:fs/promises';
import { systemClock } from '@fumehood/base';
import type { Log } from '../log.ts';
import { makeTemplate, openTemplates, type Templates, type VmHost } from '@fumehood/microvm';

/**
 * Opens the templates of a host's VMs, within `memoryMiB`. While one is made, its VM runs as `uid`; null without root, where it runs as
 * its parent. A failure to make one goes to `log`.
 */
export function hostTemplates(
  host: Omit<VmHost, 'identity'>,
  uid: number | null,
  memoryMiB: number,
  log: Pick<Log, 'warn'>,
): Templates {
  const identity = uid === null ? null : { uid, gid: uid };
  return openTemplates({
    memoryMiB,
    make: ({ acceleration, cpus, memoryMiB }) =>
      makeTemplate({ acceleration, cpus, memoryMiB }, { ...host, identity }, systemClock),
    async inputs() {
      const { ino, mtimeMs, size } = await stat(host.vmm.binary);
      return `${host.guest.digest} ${host.vmm.name} ${ino} ${mtimeMs} ${size}`;
    },
    clock: systemClock,
    onFailure: (shape, { code, message }) => log.warn({ shape, code }, message),
  });
}
