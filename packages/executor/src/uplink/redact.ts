/** Takes the values that a job wants hidden out of a text. */
export interface Redactor {
  /** What of the bytes so far can be told; the rest, which may be the start of such a value, waits for what follows. */
  readonly write: (chunk: Uint8Array) => Buffer;
  readonly end: () => Buffer;
}

/** Values and what stands in their place. */
export type Redactions = Readonly<Record<string, string>>;

/**
 * Replaces the values in a stream, wherever it is cut: from left to right, the longest first. Encoded forms of them are not found.
 * Holds less than the longest value has bytes.
 */
export function redactor(redactions: Redactions): Redactor {
  // One character a byte: a stream may hold anything.
  const values = Object.entries(redactions)
    .filter(([value]) => value !== '')
    .map(([value, shown]) => ({ value: bytesOf(value), shown: bytesOf(shown) }))
    .sort((a, b) => b.value.length - a.value.length);
  const longest = values[0]?.value.length ?? 0;
  const shownFor = new Map(values.map(({ value, shown }) => [value, shown]));
  const pattern = new RegExp(values.map(({ value }) => escaped(value)).join('|') || '(?!)', 'g');
  let held = '';

  /** Where a value begins that the text breaks off in; the text's end when there is none. */
  const openFrom = (text: string, from: number) => {
    for (let at = Math.max(from, text.length - longest + 1); at < text.length; at++) {
      const rest = text.slice(at);
      if (values.some(({ value }) => value.length > rest.length && value.startsWith(rest))) return at;
    }
    return text.length;
  };
  const take = (chunk: string, ended: boolean) => {
    const text = held + chunk;
    let told = '';
    for (let at = 0; ; ) {
      const open = ended ? text.length : openFrom(text, at);
      pattern.lastIndex = at;
      const found = pattern.exec(text);
      if (!found || found.index >= open) {
        held = text.slice(open);
        return Buffer.from(told + text.slice(at, open), 'latin1');
      }
      told += text.slice(at, found.index) + (shownFor.get(found[0]) ?? '');
      at = pattern.lastIndex;
    }
  };
  return {
    write: (chunk) => take(Buffer.from(chunk).toString('latin1'), false),
    end: () => take('', true),
  };
}

/** A whole text without the values. */
export function redact(text: string, redactions: Redactions): string {
  const { write, end } = redactor(redactions);
  return Buffer.concat([write(Buffer.from(text)), end()]).toString('utf8');
}

/** As a pattern that matches this text alone. */
function escaped(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}

function bytesOf(text: string): string {
  return Buffer.from(text).toString('latin1');
}
