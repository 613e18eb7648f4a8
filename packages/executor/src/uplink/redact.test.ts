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

test('the longest value at the first place is replaced, as a regular expression would do it', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 40 });
  const value = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(text, fc.uniqueArray(value, { minLength: 1, maxLength: 4 }), (whole, values) => {
      const pattern = new RegExp(values.toSorted((one, other) => other.length - one.length).join('|'), 'g');
      const redactions = Object.fromEntries(values.map((one) => [one, `<${one}>`]));
      expect(redact(whole, redactions)).toBe(whole.replaceAll(pattern, '<$&>'));
    }),
    { numRuns: 2_000 },
  );
});

test('the time does not grow with the product of the lengths of text and value', () => {
  const timeOf = (text: string, value: string) => {
    const { write, end } = redactor({ [value]: '#', [value[0] as string]: '.' });
    const start = performance.now();
    for (let at = 0; at < text.length; at += 65_536) write(Buffer.from(text.slice(at, at + 65_536)));
    end();
    return performance.now() - start;
  };
  const value = `${'a'.repeat(50_000)}b`;
  timeOf('x'.repeat(200_000), value);
  const harmless = timeOf('x'.repeat(400_000), value);
  expect(timeOf('a'.repeat(400_000), value)).toBeLessThan(30 * harmless + 200);
});
