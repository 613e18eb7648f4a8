import { canLimit, type Templates, type VmHost } from '@fumehood/microvm';
import { startFromTemplate } from '../helper/serve-vms.ts';
import type { VmSource } from '../runtime/microvm/vm-source.ts';

/** Starts VMs in this process, without a helper: clones of `templates`, or VMs that boot. */
export function localVms(host: Omit<VmHost, 'cgroups'>, templates: Templates | null = null): VmSource {
  return {
    async startVm(spec, { boots, policy, broker }) {
      if (policy.mode !== 'none' || broker.length > 0) throw new TypeError('these VMs have no network');
      const onHost = { ...host, cgroups: await canLimit() };
      const { vm, origin, done } = await startFromTemplate(spec, onHost, boots ? null : templates);
      return {
        origin,
        sockets: vm.sockets,
        guest: vm.guest,
        exited: vm.exited,
        check: async () => void (await vm.check()),
        search: (needles) => vm.search(needles),
        destroy: () => vm.destroy().finally(done),
        renew: (deadline) => void vm.sockets.lease.write(`R ${Math.round(deadline)}\n`),
        kill: () => void vm.sockets.lease.write('K\n'),
      };
    },
  };
}
