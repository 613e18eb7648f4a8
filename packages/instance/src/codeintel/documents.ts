import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import {
  enclosingRangeOf,
  isDefinition,
  isLocal,
  type Occurrence,
  type Range,
  rangeOf,
  readDocument,
  readIndex,
  type SymbolInformation,
} from '@fumehood/scip';
import type { Db } from '../db/connect.ts';
import { transaction } from '../db/transaction.ts';
import { indexTooBig } from './errors.ts';
import { type IndexLimits, maxPathBytes } from './limits.ts';
import {
  findDocuments,
  insertDocument,
  type StoredDescription,
  type StoredDocument,
  type StoredOccurrence,
  type StoredUse,
  type UseKind,
  useKinds,
} from './sql/documents.ts';
import { symbolKey } from './symbol-key.ts';
import type { IndexCounts } from './sql/uploads.ts';

/** A document is stored anew when this changes: the form of what is stored. */
const formVersion = '1';
/** Documents are looked up, and stored, this many at a time, or fewer when they are large. */
const batchDocuments = 100;
const batchBytes = 4 * 2 ** 20;
/** Other work goes on after so many parts of a document. */
const partsAtOnce = 2_000;
/** Most occurrences of one document, which are in memory while it is stored. */
const occurrencesMax = 500_000;
/** Bytes of the paths of an index, all together. */
const pathBytesMax = 128 * 2 ** 20;
/** Longest description of a symbol that is stored, characters. */
const descriptionMax = 20_000;

/** The documents of an index, which are stored. */
export interface IndexDocuments {
  readonly documents: readonly StoredDocument[];
  readonly counts: IndexCounts;
}

/**
 * Stores the documents of an index that are not stored yet. Nobody sees them before an upload is said to have them; those that no upload is ever
 * said to have are removed after a day. Errors: `index_invalid`, `index_too_big`, and those of the stream.
 */
export async function storeDocuments(
  db: Db,
  index: AsyncIterable<Uint8Array>,
  limits: IndexLimits,
): Promise<IndexDocuments> {
  const documents: StoredDocument[] = [];
  const counts = { documents: 0, occurrences: 0, symbols: 0 };
  let batch = new Map<string, Uint8Array>();
  let bytes = 0;
  let pathBytes = 0;
  const flush = async () => {
    for (const document of await storeBatch(db, batch)) {
      counts.occurrences += document.occurrences;
      counts.symbols += document.symbols;
      if (counts.occurrences > limits.occurrences) throw indexTooBig('occurrences', limits.occurrences);
      pathBytes += document.path?.length ?? 0;
      if (pathBytes > pathBytesMax) throw indexTooBig('bytes of paths', pathBytesMax);
      documents.push(document);
    }
    batch = new Map();
    bytes = 0;
  };
  const tooBig = () => indexTooBig('bytes in one document', limits.documentBytes);
  for await (const part of readIndex(index, limits.documentBytes, tooBig)) {
    if (part.kind === 'external') counts.symbols += 1;
    if (part.kind !== 'document') continue;
    counts.documents += 1;
    if (counts.documents > limits.documents) throw indexTooBig('documents', limits.documents);
    const hash = createHash('sha256').update(formVersion).update(part.bytes).digest('hex');
    batch.set(hash, part.bytes);
    bytes += part.bytes.length;
    if (batch.size >= batchDocuments || bytes >= batchBytes) await flush();
  }
  await flush();
  return { documents, counts };
}

/** Stores the documents of a batch, by their hashes, which are not stored yet. Returns all. */
async function storeBatch(db: Db, batch: ReadonlyMap<string, Uint8Array>): Promise<StoredDocument[]> {
  if (batch.size === 0) return [];
  const hashes = [...batch.keys()];
  const found = await findDocuments(
    db,
    hashes.map((hash) => Buffer.from(hash, 'hex')),
  );
  const known = new Set(found.map(({ sha256 }) => sha256.toString('hex')));
  // In one order, so that two processes that store the same documents wait for each other and not in a circle.
  const missing = hashes.filter((hash) => !known.has(hash)).sort();
  if (missing.length === 0) return found;
  const decoded: Awaited<ReturnType<typeof decode>>[] = [];
  for (const hash of missing) decoded.push(await decode(hash, batch.get(hash) as Uint8Array));
  return await transaction(db, async (tx) => {
    const stored = [...found];
    for (const document of decoded) stored.push(await insertDocument(tx, document));
    return stored;
  });
}

/** Decodes a document into what is stored of it. */
async function decode(hash: string, bytes: Uint8Array) {
  let path = '';
  let symbols = 0;
  let count = 0;
  const occurrences: StoredOccurrence[] = [];
  const descriptions: StoredDescription[] = [];
  const uses = new SymbolUses();
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
      if (stored === null) continue;
      occurrences.push(stored);
      const [, , , , symbol, definition] = stored;
      if (symbol !== '' && !isLocal(symbol))
        uses.add(symbol, definition === 1 ? useKinds.definition : useKinds.reference, stored);
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
  for (const stored of occurrences)
    if (stored[5] === 1)
      for (const target of implemented.get(stored[4]) ?? [])
        uses.add(target, useKinds.implementation, stored);
  return {
    sha256: Buffer.from(hash, 'hex'),
    // No file has a NUL in its name.
    path: path.includes('\0') || Buffer.byteLength(path) > maxPathBytes ? null : path,
    occurrencesJson: JSON.stringify(occurrences),
    symbolsJson: JSON.stringify(descriptions),
    uses: uses.list(),
    occurrences: count,
    symbols,
  };
}

/** What a document does with symbols, gathered by symbol. */
class SymbolUses {
  readonly #uses = new Map<string, StoredUse>();

  add(symbol: string, kind: UseKind, [line, character, endLine, endCharacter]: StoredOccurrence): void {
    const key = `${kind}${symbol}`;
    let use = this.#uses.get(key);
    if (use === undefined) {
      use = { symbol: symbolKey(symbol), kind, ranges: [] };
      this.#uses.set(key, use);
    }
    use.ranges.push(line, character, endLine, endCharacter);
  }

  list(): StoredUse[] {
    return [...this.#uses.values()];
  }
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
