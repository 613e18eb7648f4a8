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

/** An occurrence; its range has three or four numbers, from 0, as in the index. */
export interface ScipOccurrence {
  readonly range: readonly number[];
  readonly symbol: string;
  readonly role?: 0 | 1;
}

/** Returns a document with these occurrences, in this order. */
export function scipFile(path: string, occurrences: readonly ScipOccurrence[]): Buffer {
  const parts = occurrences.map(({ range, symbol, role = 0 }) =>
    field(2, Buffer.concat([field(1, packed(range)), field(2, symbol), Buffer.from([24, role])])),
  );
  return field(2, Buffer.concat([field(1, path), ...parts]));
}

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
