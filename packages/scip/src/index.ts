export { indexInvalid } from './errors.ts';
export type { Document, Metadata, Occurrence, SymbolInformation } from './gen/scip_pb.ts';
export { isDefinition, isLocal, type Position, type Range, rangeOf } from './range.ts';
export { type IndexPart, readIndex } from './reader.ts';
