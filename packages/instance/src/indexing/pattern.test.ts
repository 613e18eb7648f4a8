import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { matches } from './pattern.ts';

test('a pattern names what a regular expression of the same meaning does', () => {
  const text = (characters: string) =>
    fc.string({ unit: fc.constantFrom(...characters.split('')), maxLength: 8 });
  fc.assert(
    fc.property(text('ab*.'), text('ab.'), (pattern, name) => {
      const source = pattern
        .split('*')
        .map((part) => part.replaceAll('.', '\\.'))
        .join('.*');
      expect(matches(pattern, name)).toBe(new RegExp(`^${source}$`, 's').test(name));
    }),
    { numRuns: 2_000 },
  );
});
