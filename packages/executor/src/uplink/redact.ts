/** Replaces the values that a job wants hidden in a stream of bytes. */
export interface Redactor {
  /**
   * Takes a chunk and returns the redacted bytes up to the point where a hidden value may have begun. The bytes after that
   * point are held back until the next call decides.
   */
  readonly write: (chunk: Uint8Array) => Buffer;
  /** Returns the bytes that are held back. */
  readonly end: () => Buffer;
}

/** The replacement of each value that a job wants hidden. */
export type Redactions = Readonly<Record<string, string>>;

/**
 * Makes a redactor for one stream. The result does not depend on where the stream is cut into chunks. Values are replaced from
 * left to right, the longest value first; encoded forms of a value are not found. It holds back fewer bytes than the longest
 * value has.
 */
export function redactor(redactions: Redactions): Redactor {
  // Strings hold one character per byte (latin1), because a stream may hold any bytes.
  const values = Object.entries(redactions)
    .filter(([value]) => value !== '')
    .map(([value, replacement]) => ({ value: toLatin1(value), replacement: toLatin1(replacement) }))
    .sort((a, b) => b.value.length - a.value.length);
  const longest = values[0]?.value.length ?? 0;
  const replacements = new Map(values.map(({ value, replacement }) => [value, replacement]));
  const pattern = new RegExp(values.map(({ value }) => escapeRegExp(value)).join('|') || '(?!)', 'g');
  let held = '';

  /** Returns the offset of a value that the end of the text cuts off, or the length of the text when there is none. */
  const cutOffValue = (text: string, from: number) => {
    for (let at = Math.max(from, text.length - longest + 1); at < text.length; at++) {
      const rest = text.slice(at);
      if (values.some(({ value }) => value.length > rest.length && value.startsWith(rest))) return at;
    }
    return text.length;
  };
  const redactChunk = (chunk: string, ended: boolean) => {
    const text = held + chunk;
    let redacted = '';
    for (let at = 0; ; ) {
      const cutOff = ended ? text.length : cutOffValue(text, at);
      pattern.lastIndex = at;
      const found = pattern.exec(text);
      if (!found || found.index >= cutOff) {
        held = text.slice(cutOff);
        return Buffer.from(redacted + text.slice(at, cutOff), 'latin1');
      }
      redacted += text.slice(at, found.index) + (replacements.get(found[0]) ?? '');
      at = pattern.lastIndex;
    }
  };
  return {
    write: (chunk) => redactChunk(Buffer.from(chunk).toString('latin1'), false),
    end: () => redactChunk('', true),
  };
}

/** Replaces the hidden values in a whole text. */
export function redact(text: string, redactions: Redactions): string {
  const { write, end } = redactor(redactions);
  return Buffer.concat([write(Buffer.from(text)), end()]).toString('utf8');
}

function escapeRegExp(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}

function toLatin1(text: string): string {
  return Buffer.from(text).toString('latin1');
}
