import { canLimit, startVm, type VmHost } from '@fumehood/microvm';
import type { VmSource } from '../runtime/microvm/vm-source.ts';

/** Starts VMs in this process, without a helper. */
export function localVms(host: Omit<VmHost, 'cgroups'>): VmSource {
  return {
    async startVm(spec) {
      const vm = await startVm(spec, { ...host, cgroups: await canLimit() });
      return {
        sockets: vm.sockets,
        exited: vm.exited,
        check: async () => void (await vm.check()),
        search: (needles) => vm.search(needles),
        destroy: () => vm.destroy(),
        renew: (deadline) => void vm.sockets.lease.write(`R ${Math.round(deadline)}\n`),
        kill: () => void vm.sockets.lease.write('K\n'),
      };
    },
  };
}
