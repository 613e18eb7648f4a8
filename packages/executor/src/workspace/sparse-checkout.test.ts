import { expect, test } from 'vitest';
import { isCheckedOut, sparseDirectories } from './sparse-checkout.ts';

test('a directory is what a pattern of it means: all below, and nothing beside', () => {
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
])('the pattern %j, which git may read otherwise, is refused', (pattern) => {
  expect(() => sparseDirectories([pattern])).toThrow('it wants the part');
});
