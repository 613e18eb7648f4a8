import type { CodeRange } from '@fumehood/protocol';
import type { StoredOccurrence } from './sql/parts.ts';

/** Returns the range of an occurrence. */
export const rangeOf = ([line, character, endLine, endCharacter]: StoredOccurrence): CodeRange => ({
  line,
  character,
  endLine,
  endCharacter,
});

/** Returns the range of the whole definition that an occurrence names; null: it is not known. */
export function wholeOf(occurrence: StoredOccurrence): CodeRange | null {
  const [line, character, endLine, endCharacter] = occurrence.slice(6) as number[];
  if (line === undefined || character === undefined) return null;
  return { line, character, endLine: endLine ?? line, endCharacter: endCharacter ?? character };
}

/** Returns whether a place is in a range, whose end does not belong to it. */
export function covers(
  range: CodeRange,
  { line, character }: { readonly line: number; readonly character: number },
): boolean {
  const begun = line > range.line || (line === range.line && character >= range.character);
  const over = line > range.endLine || (line === range.endLine && character >= range.endCharacter);
  return begun && !over;
}

/** Compares ranges by how many lines, and then characters, they have. */
export function compareSize(a: CodeRange, b: CodeRange): number {
  const lines = (range: CodeRange) => range.endLine - range.line;
  const characters = (range: CodeRange) => range.endCharacter - range.character;
  return lines(a) - lines(b) || characters(a) - characters(b);
}

/** Most symbols at a place that are looked up: an index that is hostile has any number of them there. */
const symbolsMax = 10;

/** Returns the occurrences around a place, the narrowest first, one of each symbol and at most 10. `documented`: those that count without a symbol. */
export function occurrencesAround(
  document: readonly StoredOccurrence[],
  place: { readonly line: number; readonly character: number },
  documented: ReadonlyMap<StoredOccurrence, string> = new Map(),
): StoredOccurrence[] {
  const around = document.filter(
    (one) => (one[4] !== '' || documented.has(one)) && covers(rangeOf(one), place),
  );
  around.sort((a, b) => compareSize(rangeOf(a), rangeOf(b)));
  const bySymbol = new Map<string, StoredOccurrence>();
  for (const one of around) {
    if (bySymbol.size === symbolsMax) break;
    if (!bySymbol.has(one[4])) bySymbol.set(one[4], one);
  }
  return [...bySymbol.values()];
}
