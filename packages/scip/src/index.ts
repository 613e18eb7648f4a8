export type { Occurrence, SymbolInformation } from './gen/scip_pb.ts';
export { enclosingRangeOf, isDefinition, type Range, rangeOf } from './range.ts';
export { type DocumentHead, readDocument, readDocumentHead, readIndex } from './reader.ts';
export { descriptorOf, isLocal, packageOf } from './symbol.ts';
