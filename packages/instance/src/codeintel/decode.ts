import { setImmediate } from 'node:timers/promises';
import {
  enclosingRangeOf,
  isDefinition,
  isLocal,
  type Occurrence,
  type Range,
  rangeOf,
  readDocument,
  type SymbolInformation,
} from '@fumehood/scip';
import { indexTooBig } from './errors.ts';
import { maxPathBytes } from './limits.ts';
import {
  type NewDocument,
  type StoredDescription,
  type StoredUse,
  type UseKind,
  useKinds,
} from './sql/documents.ts';
import { encodePart, type StoredOccurrence, type StoredPart } from './sql/parts.ts';
import { symbolKey } from './symbol-key.ts';

/** Other work goes on after so many parts of a document. */
const partsAtOnce = 2_000;
/** Most occurrences of one document, which are in memory while it is stored. */
const occurrencesMax = 500_000;
/** Occurrences of a row: so many are read for a question about a place. */
const rowOccurrences = 256;
/** Longest description of a symbol that is stored, characters. */
const descriptionMax = 20_000;

/** Decodes a document into what is stored of it. Errors: `index_invalid`, `index_too_big`. */
export async function decodeDocument(sha256: Buffer, bytes: Uint8Array): Promise<NewDocument> {
  let path = '';
  let symbols = 0;
  let count = 0;
  const occurrences: StoredOccurrence[] = [];
  const descriptions: StoredDescription[] = [];
  const implemented = new Map<string, string[]>();
  let parts = 0;
  for (const part of readDocument(bytes)) {
    parts += 1;
    if (parts % partsAtOnce === 0) await setImmediate();
    if (part.kind === 'path') ({ path } = part);
    else if (part.kind === 'occurrence') {
      count += 1;
      if (count > occurrencesMax) throw indexTooBig('occurrences in one document', occurrencesMax);
      const stored = storedOccurrence(part.occurrence);
      if (stored !== null) occurrences.push(stored);
    } else {
      symbols += 1;
      const { symbol, relationships } = part.symbol;
      if (symbol.includes('\0')) continue;
      const text = describe(part.symbol);
      if (text !== '') descriptions.push([symbol, text]);
      const targets = relationships.filter((one) => one.isImplementation && !isLocal(one.symbol));
      if (targets.length > 0)
        implemented.set(
          symbol,
          targets.map((one) => one.symbol),
        );
    }
  }
  const sorted = sortByLine(occurrences);
  return {
    sha256,
    // No file has a NUL in its name.
    path: path.includes('\0') || Buffer.byteLength(path) > maxPathBytes ? null : path,
    parts: await partsOf(sorted),
    symbolsJson: JSON.stringify(descriptions),
    uses: await usesOf(sorted, implemented),
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

async function partsOf(occurrences: readonly StoredOccurrence[]): Promise<StoredPart[]> {
  const parts: StoredPart[] = [];
  for (let at = 0; at < occurrences.length; at += rowOccurrences) {
    parts.push(encodePart(occurrences.slice(at, at + rowOccurrences), isLocal));
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
function storedOccurrence(occurrence: Occurrence): StoredOccurrence | null {
  const { symbol } = occurrence;
  if (symbol.includes('\0')) return null;
  const defines = isDefinition(occurrence);
  const whole = defines ? enclosingRangeOf(occurrence) : null;
  return [
    ...numbers(rangeOf(occurrence)),
    symbol,
    defines ? 1 : 0,
    ...(whole === null ? [] : numbers(whole)),
  ];
}

const numbers = ({ start, end }: Range): [number, number, number, number] => [
  start.line,
  start.character,
  end.line,
  end.character,
];

/** Returns what is shown of a symbol, as Markdown: its signature and its documentation. */
function describe({ documentation, signatureDocumentation }: SymbolInformation): string {
  const { language = '', text: code = '' } = signatureDocumentation ?? {};
  const signature = code === '' ? [] : [`\`\`\`${language}\n${code}\n\`\`\``];
  const text = [...signature, ...documentation].join('\n\n').replaceAll('\0', '');
  // PostgreSQL refuses half of a surrogate pair, which the end may cut.
  return text.slice(0, descriptionMax).toWellFormed();
}
