/** Converts the characters of a document, which counts them in other units, into UTF-16 code units. */
export interface Columns {
  /** Returns a character of a line; one beyond the end of the line is the end, one within a character its beginning. */
  toUtf16(line: number, character: number): number;
}

/**
 * Returns what converts the characters of a file with this text. Lines end with a line feed, before which a carriage return does not count. `unit`:
 * what the document counts in, bytes of UTF-8 or code points.
 */
export function columnsOf(text: string, unit: 'utf8' | 'utf32'): Columns {
  const lines = text.split('\n');
  const tables = new Map<number, Uint32Array>();
  return {
    toUtf16(line, character) {
      const content = lines[line];
      if (content === undefined) return character; // of another version of the file
      let table = tables.get(line);
      if (table === undefined) {
        table = tableOf(content.endsWith('\r') ? content.slice(0, -1) : content, unit);
        tables.set(line, table);
      }
      return table[Math.min(character, table.length - 1)] ?? character;
    },
  };
}

/** Returns where each unit of a line begins, and the line ends, in UTF-16 code units. */
function tableOf(line: string, unit: 'utf8' | 'utf32'): Uint32Array {
  const table = new Uint32Array((unit === 'utf8' ? Buffer.byteLength(line) : line.length) + 1);
  let at = 0;
  let utf16 = 0;
  for (const character of line) {
    const end = at + (unit === 'utf8' ? Buffer.byteLength(character) : 1);
    for (; at < end; at += 1) table[at] = utf16;
    utf16 += character.length;
  }
  table[at] = utf16;
  return table.subarray(0, at + 1);
}
