/** Writes SCIP indexes byte by byte, also ones that no indexer would write. */

/** Returns a field of a protobuf message whose value is bytes. */
function field(number: number, value: string | Buffer): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([packed([(number << 3) | 2, bytes.length]), bytes]);
}

/** Returns numbers as protobuf writes them. */
function packed(numbers: readonly number[]): Buffer {
  const bytes: number[] = [];
  for (let rest of numbers) {
    for (; rest > 127; rest >>>= 7) bytes.push((rest & 127) | 128);
    bytes.push(rest);
  }
  return Buffer.from(bytes);
}

/** An occurrence; its ranges have three or four numbers, from 0, as in the index. */
interface ScipOccurrence {
  readonly range: readonly number[];
  readonly symbol: string;
  readonly role?: 0 | 1;
  /** What is written of this occurrence alone. */
  readonly documentation?: string;
  /** Of the whole definition. */
  readonly whole?: readonly number[];
}
/** What is said of a symbol: its description, and the symbols that it is related to. */
interface ScipSymbol {
  readonly symbol: string;
  readonly documentation?: string;
  readonly relations?: Partial<Record<keyof typeof relationFields, string>>;
}
const relationFields = { reference: 2, implementation: 3, definition: 5 };

const text = (number: number, value: string | undefined) =>
  value === undefined ? [] : [field(number, value)];

function symbolFields({ symbol, documentation, relations = {} }: ScipSymbol): Buffer {
  const related = Object.entries(relations).map(([kind, target]) => {
    const is = Buffer.from([relationFields[kind as keyof typeof relationFields] << 3, 1]);
    return field(4, Buffer.concat([field(1, target), is]));
  });
  return Buffer.concat([field(1, symbol), ...text(3, documentation), ...related]);
}

/** Returns a document with these occurrences, in this order. `encoding`: 1 for UTF-8, 2 for UTF-16, 3 for UTF-32. `content`: of its file. */
export function scipFile(
  path: string,
  occurrences: readonly ScipOccurrence[],
  {
    symbols = [],
    encoding,
    content,
  }: { symbols?: readonly ScipSymbol[]; encoding?: number; content?: string } = {},
): Buffer {
  const parts = occurrences.map(({ range, symbol, role = 0, documentation, whole }) =>
    field(
      2,
      Buffer.concat([
        ...[field(1, packed(range)), field(2, symbol), Buffer.from([24, role])],
        ...text(4, documentation),
        ...(whole === undefined ? [] : [field(7, packed(whole))]),
      ]),
    ),
  );
  const described = symbols.map((one) => field(3, symbolFields(one)));
  const units = encoding === undefined ? [] : [Buffer.from([6 << 3, encoding])];
  return field(2, Buffer.concat([field(1, path), ...parts, ...described, ...text(5, content), ...units]));
}

/** Returns what an index says of a symbol of another project. */
export const scipExternal = (symbol: ScipSymbol): Buffer => field(3, symbolFields(symbol));

/** Returns a document that defines (1) or refers to (0) each symbol on a line of its own, at most 128 of them. */
export function scipDocument(path: string, symbols: readonly string[], role: 0 | 1 = 1): Buffer {
  const occurrences = symbols.map((symbol, line) =>
    field(2, Buffer.concat([field(1, Buffer.from([line, 0, 5])), field(2, symbol), Buffer.from([24, role])])),
  );
  return field(2, Buffer.concat([field(1, path), ...occurrences]));
}

/** Returns a document that defines nothing and describes a symbol. */
export const scipDescription = (path: string, symbol: string, text: string): Buffer =>
  field(2, Buffer.concat([field(1, path), field(3, Buffer.concat([field(1, symbol), field(3, text)]))]));

/** Returns an index with empty metadata and these documents. */
export const scipIndex = (documents: readonly Buffer[]): Buffer =>
  Buffer.concat([field(1, ''), ...documents]);
