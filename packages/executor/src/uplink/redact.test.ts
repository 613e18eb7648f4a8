import * as fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { redact, redactor } from './redact.ts';

function inPieces(pieces: readonly string[], redactions: Record<string, string>): string {
  const { write, end } = redactor(redactions);
  const redacted = pieces.map((piece) => write(Buffer.from(piece, 'latin1')));
  return Buffer.concat([...redacted, end()]).toString('latin1');
}

describe('a value that a job wants hidden', () => {
  it('is replaced, the longest one first, and other text stays', () => {
    const redactions = { 'token-executor T1': 'token-executor REDACTED', T1: 'REMOVED', '': 'never' };
    expect(redact('a token-executor T1, T1 and T2', redactions)).toBe(
      'a token-executor REDACTED, REMOVED and T2',
    );
    expect(redact('schlüssel=größe\n', { größe: '…' })).toBe('schlüssel=…\n');
    expect(redact('(a+)+ a.b', { '(a+)+': 'x', 'a.b': 'y' })).toBe('x y');
    expect(redact('as it is', {})).toBe('as it is');
  });

  it('is found across lines, and when it arrives byte by byte', () => {
    expect(inPieces('key: one\ntwo!'.split(''), { 'one\ntwo': '***' })).toBe('key: ***!');
  });

  it('is replaced even if it begins like a longer value that does not follow', () => {
    expect(inPieces(['xa', 'bd'], { xab: '*', abc: '+' })).toBe('*d');
  });
});

test('text is returned as soon as no hidden value can begin in it', () => {
  const { write } = redactor({ secret: '***' });
  expect(write(Buffer.from('plain sec')).toString()).toBe('plain ');
  expect(write(Buffer.from('ond secre')).toString()).toBe('second ');
  expect(write(Buffer.from('t ')).toString()).toBe('*** ');
});

test('the result is the same wherever a text is cut into chunks, and contains no value', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', '\n', '\u00e9'), maxLength: 4 });
  const property = fc.property(
    fc.array(fc.string({ unit: fc.constantFrom('a', 'b', '\n', '\u00e9'), maxLength: 6 })),
    fc.array(letters, { minLength: 1, maxLength: 4 }),
    (pieces, values) => {
      const redactions = Object.fromEntries(values.map((value) => [value, '#']));
      const bytes = pieces.map((piece) => Buffer.from(piece).toString('latin1'));
      const redacted = inPieces(bytes, redactions);
      expect(redacted).toBe(inPieces([bytes.join('')], redactions));
      for (const value of values.filter((one) => one !== ''))
        expect(redacted.includes(Buffer.from(value).toString('latin1'))).toBe(false);
    },
  );
  fc.assert(property, { numRuns: 2_000 });
});
