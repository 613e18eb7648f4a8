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

interface HiddenValue {
  /** One character per byte (latin1), because a stream may hold any bytes. */
  readonly value: string;
  readonly replacement: string;
  /** See `commonLengths`: of the value with itself. */
  readonly own: Int32Array;
}

/**
 * Makes a redactor for one stream. The result does not depend on where the stream is cut into chunks. Values are replaced from
 * left to right, the longest value first; encoded forms of a value are not found. It holds back fewer bytes than the longest
 * value has. The time for a chunk is in proportion to its length and that of the values, whatever they contain: leases are renewed
 * on the same event loop.
 */
export function redactor(redactions: Redactions): Redactor {
  const values = Object.entries(redactions)
    .filter(([value]) => value !== '')
    .map(([value, replacement]) => ({ value: toLatin1(value), replacement: toLatin1(replacement) }))
    .sort((a, b) => b.value.length - a.value.length)
    .map((hidden): HiddenValue => ({ ...hidden, own: commonLengths(hidden.value, hidden.value, null) }));
  let held = '';

  const redactChunk = (chunk: string, ended: boolean) => {
    const text = held + chunk;
    /** The longest value that is at each offset. */
    const found: HiddenValue[] = [];
    /** For each offset, whether a value begins there that the end of the text cuts off. */
    const isCutOff = new Uint8Array(text.length);
    for (const hidden of values) {
      const { length } = hidden.value;
      commonLengths(text, hidden.value, hidden.own).forEach((common, at) => {
        if (common === length) found[at] ??= hidden;
        else if (!ended && at + common === text.length) isCutOff[at] = 1;
      });
    }
    let redacted = '';
    let at = 0;
    let from = 0;
    while (at < text.length && isCutOff[at] === 0) {
      const hidden = found[at];
      if (hidden) {
        redacted += text.slice(from, at) + hidden.replacement;
        at += hidden.value.length;
        from = at;
      } else at += 1;
    }
    held = text.slice(at);
    return Buffer.from(redacted + text.slice(from, at), 'latin1');
  };
  return {
    write: (chunk) =>
      values.length === 0 ? Buffer.from(chunk) : redactChunk(Buffer.from(chunk).toString('latin1'), false),
    end: () => redactChunk('', true),
  };
}

/**
 * Returns, for each offset of the text, how many of its characters from there on are the beginning of the value. `own` has these
 * lengths for the value itself; null computes them. It compares each character of the text with a match once (the Z algorithm).
 */
function commonLengths(text: string, value: string, own: Int32Array | null): Int32Array {
  const lengths = new Int32Array(text.length);
  let start = 0; // of the match that reaches furthest
  let end = 0;
  if (own === null) lengths[0] = value.length;
  for (let at = own === null ? 1 : 0; at < text.length; at++) {
    let length = at < end ? Math.min(end - at, (own ?? lengths)[at - start] as number) : 0;
    while (length < value.length && at + length < text.length && text[at + length] === value[length])
      length += 1;
    lengths[at] = length;
    if (at + length > end) {
      start = at;
      end = at + length;
    }
  }
  return lengths;
}

/** Replaces the hidden values in a whole text. */
export function redact(text: string, redactions: Redactions): string {
  const { write, end } = redactor(redactions);
  return Buffer.concat([write(Buffer.from(text)), end()]).toString('utf8');
}

function toLatin1(text: string): string {
  return Buffer.from(text).toString('latin1');
}
