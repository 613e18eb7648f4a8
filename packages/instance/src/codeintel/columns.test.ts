import { expect, test } from 'vitest';
import { columnsOf } from './columns.ts';

// An astral emoji, a combining mark, and CJK; a line is described by the substrings that begin at its columns.
const line = "s = '🚀é漢'; x";
const text = `ascii\r\n${line}\r\n`;

test.each([
  ['utf8', (before: string) => Buffer.byteLength(before)],
  ['utf32', (before: string) => Array.from(before).length],
] as const)('columns in %s become columns in UTF-16', (unit, count) => {
  const columns = columnsOf(text, unit);
  for (let utf16 = 0; utf16 <= line.length; utf16 += 1) {
    const before = line.slice(0, utf16);
    if (!before.isWellFormed()) continue;
    expect(columns.toUtf16(1, count(before))).toBe(utf16);
  }
});

test('an ASCII line is the same, and a column beyond the end of a line is its end', () => {
  const columns = columnsOf(text, 'utf8');
  expect([0, 3, 5, 6, 99].map((character) => columns.toUtf16(0, character))).toEqual([0, 3, 5, 5, 5]);
  expect(columns.toUtf16(1, 99)).toBe(line.length);
  expect(columns.toUtf16(7, 99)).toBe(99);
});

test('a column within a character is its beginning', () => {
  expect([5, 6, 7, 8, 9].map((character) => columnsOf(text, 'utf8').toUtf16(1, character))).toEqual([
    5, 5, 5, 5, 7,
  ]);
});
