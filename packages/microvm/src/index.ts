export type { Guest, GuestFacts } from './channel/guest.ts';
export { connectGuest } from './channel/guest.ts';
export type { GuestStep, StepExit, StepStreams } from './channel/step.ts';
export type { GuestImage, GuestRecipe } from './guest/build.ts';
export { buildGuest, compileInit, guestRecipe, unpackKernelPackage } from './guest/build.ts';
export { canLimit, makeCgroup, removeCgroup, removeCgroups } from './jail/cgroups.ts';
export { buildLauncher, buildNetworkProgram } from './launcher/build.ts';
export type { NetworkHandle, NetworkHandles } from './network/network.ts';
export {
  countHolders,
  gatewayAddress,
  madeNetwork,
  networkCommand,
  networkHandleNames,
  networkMissing,
} from './network/network.ts';
export { probeHost, probeVmm } from './probe/probe.ts';
export type { Finding, HostReport } from './probe/verdict.ts';
export type { Acceleration, GuestSockets, LauncherSockets, VmExit, VmSpec } from './vm/spec.ts';
export {
  diskDevice,
  guestSocketNames,
  launcherSocketNames,
  scratchDevice,
  vmDisksMax,
  vmIdPattern,
  vmmMemoryMiB,
} from './vm/spec.ts';
export type { LeftOver } from './vm/leftover.ts';
export type { VmHost } from './vm/host.ts';
export type { VmProcess } from './vm/start.ts';
export { startVm } from './vm/start.ts';
export { makeScratchDisk } from './vm/disks.ts';
export type { ScratchDisks } from './vm/scratch.ts';
export { openScratchDisks } from './vm/scratch.ts';
export { sweepVms } from './vm/sweep.ts';
export type { Shape, Template } from './template/template.ts';
export { makeTemplate, slotsFor } from './template/template.ts';
export type { Taken, Templates } from './template/templates.ts';
export { openTemplates } from './template/templates.ts';
export { openMonitor, vmmNames, vmmOf } from './vmm/choose.ts';
export { firecrackerVersion } from './vmm/firecracker/binary.ts';
export { acceptedVersion, compareVersions } from './vmm/firecracker/versions.ts';
export type { Vmm } from './vmm/vmm.ts';
