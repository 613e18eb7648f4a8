import type { Occurrence } from './gen/scip_pb.ts';
import { indexInvalid } from './errors.ts';

/** A position in a document. Line and character count from 0; the index defines the encoding of characters. */
export interface Position {
  readonly line: number;
  readonly character: number;
}

/** A half-open range: `end` is the first position after it. */
export interface Range {
  readonly start: Position;
  readonly end: Position;
}

/**
 * Returns the range of an occurrence. Indexers write one of two forms or both; if both are present, the typed one counts (SCIP 0.10).
 * Errors: `index_invalid`.
 */
export function rangeOf({ range, typedRange }: Pick<Occurrence, 'range' | 'typedRange'>): Range {
  if (typedRange.case === 'singleLineRange') {
    const { line, startCharacter, endCharacter } = typedRange.value;
    return checked(line, startCharacter, line, endCharacter);
  }
  if (typedRange.case === 'multiLineRange') {
    const { startLine, startCharacter, endLine, endCharacter } = typedRange.value;
    return checked(startLine, startCharacter, endLine, endCharacter);
  }
  const [line = 0, from = 0, third = 0, fourth = 0] = range;
  if (range.length === 3) return checked(line, from, line, third);
  if (range.length === 4) return checked(line, from, third, fourth);
  throw indexInvalid(`an occurrence has a range of ${range.length} numbers`);
}

function checked(line: number, character: number, endLine: number, endCharacter: number): Range {
  const forward = endLine > line || (endLine === line && endCharacter >= character);
  if (line < 0 || character < 0 || endCharacter < 0 || !forward)
    throw indexInvalid('an occurrence has an impossible range');
  return { start: { line, character }, end: { line: endLine, character: endCharacter } };
}

/** `SymbolRole.Definition` in the schema. */
const definitionRole = 1;

/** Returns whether an occurrence defines its symbol. */
export function isDefinition({ symbolRoles }: Pick<Occurrence, 'symbolRoles'>): boolean {
  return (symbolRoles & definitionRole) !== 0;
}

/** Returns whether a symbol has a meaning in its own document only. */
export function isLocal(symbol: string): boolean {
  return symbol.startsWith('local ');
}
