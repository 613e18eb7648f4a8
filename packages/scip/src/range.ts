import type { MultiLineRange, Occurrence, SingleLineRange } from './gen/scip_pb.ts';
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
  return typedRange.value ? ofTyped(typedRange.value) : ofNumbers(range);
}

/** Returns the range of the definition whose name an occurrence is, as from `function` to the closing brace; null: unknown. Errors: `index_invalid`. */
export function enclosingRangeOf({
  enclosingRange,
  typedEnclosingRange,
}: Pick<Occurrence, 'enclosingRange' | 'typedEnclosingRange'>): Range | null {
  if (typedEnclosingRange.value) return ofTyped(typedEnclosingRange.value);
  return enclosingRange.length === 0 ? null : ofNumbers(enclosingRange);
}

function ofTyped(value: SingleLineRange | MultiLineRange): Range {
  return 'line' in value
    ? checked(value.line, value.startCharacter, value.line, value.endCharacter)
    : checked(value.startLine, value.startCharacter, value.endLine, value.endCharacter);
}

function ofNumbers(range: readonly number[]): Range {
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
