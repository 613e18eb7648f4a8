import { expect, it } from 'vitest';
import { sourceLine } from './source-line.ts';

const text = 'one\ntwo\r\nthree\rfour\u2028five\u2029six\u0085 and \u000b\n\nlast';
const lines = ['one', 'two', 'three', 'four', 'five', 'six\u0085 and \u000b', '', 'last'];

it.each([
  ['UTF-8', Buffer.from(text)],
  ['UTF-8 with a byte order mark', Buffer.from(`\ufeff${text}`)],
  ['UTF-16', Buffer.from(`\ufeff${text}`, 'utf16le')],
  ['big-endian UTF-16', Buffer.from(`\ufeff${text}`, 'utf16le').swap16()],
])('a line of a file in %s is the one that TypeScript counts', (_encoding, file) => {
  expect(lines.map((_, line) => sourceLine(file, line))).toEqual(lines);
});

it('a line that the file does not have is empty', () => {
  expect(sourceLine(Buffer.from('one'), 1)).toBe('');
  expect(sourceLine(Buffer.alloc(0), 0)).toBe('');
});

it('a line has a bounded length', () => {
  expect(sourceLine(Buffer.alloc(1_000, 'x'), 0)).toHaveLength(200);
});
