export type { Acceleration, VmExit, VmSockets, VmSpec } from './vm.ts';
export { vmSocketNames } from './vm.ts';
