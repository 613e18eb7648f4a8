import { setImmediate } from 'node:timers/promises';
import {
  enclosingRangeOf,
  isDefinition,
  isLocal,
  type Occurrence,
  type Range,
  rangeOf,
  readDocument,
} from '@fumehood/scip';
import type { Columns } from './columns.ts';
import { Descriptions, storedText } from './descriptions.ts';
import { indexTooBig } from './errors.ts';
import { maxPathBytes } from './limits.ts';
import { type NewDocument, type StoredUse, type UseKind, useKinds } from './sql/documents.ts';
import { encodePart, type StoredOccurrence, type StoredPart } from './sql/parts.ts';
import { symbolKey } from './symbol-key.ts';

/** Other work goes on after so many parts of a document. */
const partsAtOnce = 2_000;
/** Most occurrences of one document, which are in memory while it is stored. */
const occurrencesMax = 500_000;
/** Occurrences of a row: so many are read for a question about a place. */
const rowOccurrences = 256;

/** Decodes a document into what is stored of it. `columns`: null for one that counts in UTF-16. Errors: `index_invalid`, `index_too_big`. */
export async function decodeDocument(
  sha256: Buffer,
  bytes: Uint8Array,
  columns: Columns | null,
): Promise<NewDocument> {
  let path = '';
  let symbols = 0;
  let count = 0;
  const occurrences: StoredOccurrence[] = [];
  const documentation = new Map<StoredOccurrence, string>();
  const descriptions = new Descriptions();
  let parts = 0;
  for (const part of readDocument(bytes)) {
    parts += 1;
    if (parts % partsAtOnce === 0) await setImmediate();
    if (part.kind === 'path') ({ path } = part);
    else if (part.kind === 'occurrence') {
      count += 1;
      if (count > occurrencesMax) throw indexTooBig('occurrences in one document', occurrencesMax);
      const stored = storedOccurrence(part.occurrence, columns);
      if (stored === null) continue;
      occurrences.push(stored);
      const text = storedText(part.occurrence.overrideDocumentation.join('\n\n'));
      if (text !== '') documentation.set(stored, text);
    } else {
      symbols += 1;
      descriptions.add(part.symbol);
    }
  }
  const sorted = sortByLine(occurrences);
  return {
    sha256,
    // No file has a NUL in its name.
    path: path.includes('\0') || Buffer.byteLength(path) > maxPathBytes ? null : path,
    parts: await partsOf(sorted, documentation),
    symbolsJson: JSON.stringify(descriptions.list),
    uses: await usesOf(sorted, descriptions.implemented),
    relations: descriptions.relations,
    occurrences: count,
    symbols,
  };
}

/** Sorts occurrences by their lines. Not every indexer does; numbers are sorted much faster than what has to be compared by a function. */
function sortByLine(occurrences: readonly StoredOccurrence[]): StoredOccurrence[] {
  const size = 2 ** 20; // more than `occurrencesMax`
  const keys = Float64Array.from(occurrences, ([line], at) => line * size + at).sort();
  return Array.from(keys, (key) => occurrences[key % size] as StoredOccurrence);
}

async function partsOf(
  occurrences: readonly StoredOccurrence[],
  documentation: ReadonlyMap<StoredOccurrence, string>,
): Promise<StoredPart[]> {
  const parts: StoredPart[] = [];
  for (let at = 0; at < occurrences.length; at += rowOccurrences) {
    parts.push(encodePart(occurrences.slice(at, at + rowOccurrences), documentation, isLocal));
    if (parts.length % 8 === 0) await setImmediate();
  }
  return parts;
}

/** Returns what a document does with symbols that mean something beyond it, and where. */
async function usesOf(
  occurrences: readonly StoredOccurrence[],
  implemented: ReadonlyMap<string, readonly string[]>,
): Promise<StoredUse[]> {
  const uses = new Map<string, StoredUse>();
  const add = (symbol: string, kind: UseKind, [line, character, endLine, endCharacter]: StoredOccurrence) => {
    const key = `${kind}${symbol}`;
    let use = uses.get(key);
    if (use === undefined) {
      use = { symbol: symbolKey(symbol), kind, ranges: [] };
      uses.set(key, use);
    }
    use.ranges.push(line, character, endLine, endCharacter);
  };
  for (const [at, one] of occurrences.entries()) {
    if (at % partsAtOnce === 0) await setImmediate();
    const [, , , , symbol, defines] = one;
    if (symbol !== '' && !isLocal(symbol))
      add(symbol, defines === 1 ? useKinds.definition : useKinds.reference, one);
    if (defines === 1)
      for (const target of implemented.get(symbol) ?? []) add(target, useKinds.implementation, one);
  }
  return [...uses.values()];
}

/**
 * Returns what is stored of an occurrence; null for one whose symbol has a NUL: PostgreSQL's text type holds every other character. Errors:
 * `index_invalid`.
 */
function storedOccurrence(occurrence: Occurrence, columns: Columns | null): StoredOccurrence | null {
  const { symbol } = occurrence;
  if (symbol.includes('\0')) return null;
  const defines = isDefinition(occurrence);
  const whole = defines ? enclosingRangeOf(occurrence) : null;
  return [
    ...numbers(rangeOf(occurrence), columns),
    symbol,
    defines ? 1 : 0,
    ...(whole === null ? [] : numbers(whole, columns)),
  ];
}

function numbers({ start, end }: Range, columns: Columns | null): [number, number, number, number] {
  const of = ({ line, character }: Range['start']) => columns?.toUtf16(line, character) ?? character;
  return [start.line, of(start), end.line, of(end)];
}
