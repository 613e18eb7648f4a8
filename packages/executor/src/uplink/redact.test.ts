import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { redactor } from './redact.ts';

it('What stands for a value is in its place, the longest value first', () => {
  const redact = redactor({ abc: 'SHORT', 'token abc': 'LONG', 'a.c': 'DOT', '': 'NOTHING' });
  expect(redact('token abc, abc, aXc, a.c')).toBe('LONG, SHORT, aXc, DOT');
  expect(redactor(null)('abc')).toBe('abc');
  expect(redactor({})('abc')).toBe('abc');
});

it('What stands for a value is taken as it is', () => {
  expect(redactor({ x: "$& $1 $'" })('x')).toBe("$& $1 $'");
});

it('No value is left, whatever it is', () => {
  const value = fc.string({ minLength: 1 }).filter((text) => text !== '__proto__');
  fc.assert(
    fc.property(fc.array(value, { minLength: 1 }), fc.array(fc.nat()), (values, order) => {
      // In the middle of characters that are in no value.
      const text = order.map((at) => values[at % values.length]).join('\u{10fffd}');
      const left = redactor(Object.fromEntries(values.map((one) => [one, '\u{10fffd}'])))(text);
      for (const one of values) expect(left).not.toContain(one);
    }),
  );
});
