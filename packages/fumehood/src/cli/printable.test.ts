import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { printable, printableJson, printableLines } from './printable.ts';

/** Control characters of both sets, changes of direction, and separators of lines. */
const acts = /[\p{Cc}\p{Cs}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/u;

describe('printable text', () => {
  it.each([
    ['\x1b]52;c;aGVsbG8=\x07', '\\x1b]52;c;aGVsbG8=\\x07'],
    ['\x9b31m', '\\x9b31m'],
    ['one\r\ntwo\tthree\x7f', 'one\\x0d\\x0atwo\\x09three\\x7f'],
    ['abc\u202edef\u2028', 'abc\\u202edef\\u2028'],
    ['\ud800', '\\ud800'],
  ])('escapes what a terminal would act on: %j', (text, escaped) => {
    expect(printable(text)).toBe(escaped);
  });

  it('keeps every other character', () => {
    for (const text of ['plain ASCII', 'grüße — “…”', '日本語', '👩‍🚀 🇳🇴'])
      expect(printable(text)).toBe(text);
  });

  it('keeps newlines and tabs in text of several lines', () => {
    expect(printableLines('a\tb\nc\x1b[1md\r')).toBe('a\tb\nc\\x1b[1md\\x0d');
  });

  it('never holds what a terminal would act on, and as JSON it has the same meaning', () => {
    const text = fc.string({ unit: 'binary', maxLength: 50 });
    fc.assert(
      fc.property(text, (value) => {
        expect(printable(value)).not.toMatch(acts);
        expect(printableJson({ value })).not.toMatch(acts);
        expect(JSON.parse(printableJson({ value }))).toEqual({ value });
      }),
    );
  });
});
