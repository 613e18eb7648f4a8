/** Longest line that is shown, characters. */
const shownMax = 200;

/**
 * Returns a line of a TypeScript or JavaScript file, counted from 0 as the language counts lines: they also end at a lone CR, at
 * U+2028 and at U+2029. A byte order mark decides the encoding, as it does for the compiler.
 */
export function sourceLine(file: Uint8Array, line: number): string {
  const lines = new TextDecoder(encodingOf(file)).decode(file).split(/\r\n|[\n\r\u2028\u2029]/);
  return (lines[line] ?? '').slice(0, shownMax);
}

function encodingOf([first, second]: Uint8Array): string {
  if (first === 0xff && second === 0xfe) return 'utf-16le';
  return first === 0xfe && second === 0xff ? 'utf-16be' : 'utf-8';
}
