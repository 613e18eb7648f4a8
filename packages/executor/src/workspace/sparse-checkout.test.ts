import { expect, test } from 'vitest';
import { isCheckedOut, sparseDirectories } from './sparse-checkout.ts';

test('a pattern stands for everything below its directory, and nothing else', () => {
  const directories = sparseDirectories(['services/a/*', '/docs/*']);
  expect(directories).toEqual(['services/a/', 'docs/']);
  const inside = ['services/a/x', 'services/a/b/c', 'docs/x'];
  const outside = ['services/ab/x', 'services/x', 'services/a', 'README', 'x/docs/x'];
  expect([...inside, ...outside].filter((path) => isCheckedOut(path, directories))).toEqual(inside);
  for (const none of [null, []]) expect(isCheckedOut('anything', sparseDirectories(none))).toBe(true);
});

test.each([
  '*',
  '/*',
  'a',
  'a/',
  'a/**',
  '!a/*',
  '#a/*',
  'a*/*',
  'a?/*',
  '[a]/*',
  'a\\b/*',
  'a//*',
  'a /*',
  '',
])('the pattern %j is refused, because git may read it differently', (pattern) => {
  expect(() => sparseDirectories([pattern])).toThrow('it wants the part');
});

test('more than 1,000 patterns are refused', () => {
  const patterns = Array.from({ length: 1_001 }, (_, index) => `d${index}/*`);
  expect(sparseDirectories(patterns.slice(1))).toHaveLength(1_000);
  expect(() => sparseDirectories(patterns)).toThrow('it wants 1001 parts');
});
