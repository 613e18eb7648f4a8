import { Transform } from 'node:stream';

/** Texts that are replaced in a stream of bytes, and what each becomes. */
export type Replacements = readonly (readonly [text: string, by: string])[];

/** Returns a stream that replaces texts, also where one is spread over several chunks. It keeps no more than the longest of them. */
export function replacingStream(replacements: Replacements): Transform {
  const all = replacements.map(([text, by]) => ({ text: Buffer.from(text), by: Buffer.from(by) }));
  const keptMax = Math.max(0, ...all.map(({ text }) => text.length - 1));
  let kept: Buffer = Buffer.alloc(0);

  /** Returns the bytes that are done, and keeps those that may begin a text. */
  const take = (bytes: Buffer, isLast: boolean): Buffer => {
    const parts: Buffer[] = [];
    let at = 0;
    const next = all.map(({ text }) => bytes.indexOf(text));
    for (;;) {
      let first = -1;
      for (const [index, one] of all.entries()) {
        if (next[index] !== -1 && (next[index] as number) < at) next[index] = bytes.indexOf(one.text, at);
        const found = next[index] as number;
        if (found !== -1 && (first === -1 || found < (next[first] as number))) first = index;
      }
      if (first === -1) break;
      const { text, by } = all[first] as (typeof all)[number];
      const found = next[first] as number;
      parts.push(bytes.subarray(at, found), by);
      at = found + text.length;
    }
    const end = isLast ? bytes.length : Math.max(at, bytes.length - keptMax);
    parts.push(bytes.subarray(at, end));
    kept = bytes.subarray(end);
    return Buffer.concat(parts);
  };
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      done(null, take(kept.length > 0 ? Buffer.concat([kept, chunk]) : chunk, false));
    },
    flush(done) {
      done(null, take(kept, true));
    },
  });
}
