/** Writes SCIP indexes byte by byte, also ones that no indexer would write. */

/** Returns a field of a protobuf message whose value is bytes. */
function field(number: number, value: string | Buffer): Buffer {
  const bytes = Buffer.from(value);
  const length = [];
  for (let rest = bytes.length; ; rest >>>= 7) {
    length.push(rest > 127 ? (rest & 127) | 128 : rest);
    if (rest <= 127) return Buffer.concat([Buffer.from([(number << 3) | 2, ...length]), bytes]);
  }
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
