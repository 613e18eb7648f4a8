export type { CollectRequest } from './channel/collect.ts';
export type { Guest, GuestFacts, GuestStep, OutputSink, StepExit, StepStreams } from './channel/guest.ts';
export { connectGuest } from './channel/guest.ts';
export type { GuestImage } from './guest/build.ts';
export { buildGuest, loadGuest } from './guest/build.ts';
export type { Acceleration, VmExit, VmSockets, VmSpec } from './vm.ts';
export { vmSocketNames } from './vm.ts';
