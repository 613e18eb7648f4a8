export type { Occurrence } from './gen/scip_pb.ts';
export { isDefinition, isLocal, rangeOf } from './range.ts';
export { readIndex } from './reader.ts';
