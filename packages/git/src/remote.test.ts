import { execFileSync } from 'node:child_process';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { isRefName } from './remote.ts';

const checks = (name: string) => {
  try {
    execFileSync('git', ['check-ref-format', name]);
    return true;
  } catch {
    return false;
  }
};

test.each([
  ['refs/heads/main', true],
  ['refs/tags/v1.0', true],
  ['refs/heads/a/b-c_d', true],
  ['refs/heads/é', true],
  ['refs/pull/1/head', false],
  ['refs/heads/', false],
  ['refs/heads/a b', false],
  ['refs/heads/a\nb', false],
  ['refs/heads/../x', false],
  ['refs/heads/a.lock', false],
  ['refs/heads/.a', false],
  [`refs/heads/${'a'.repeat(1_000)}`, false],
])('%j as the name of a branch or tag: %s', (name, expected) => {
  expect(isRefName(name)).toBe(expected);
});

test('git accepts every name that is accepted here', () => {
  const part = fc.string({
    unit: fc.constantFrom('a', '.', '/', '@', '{', '~', '\\', ' ', '-', 'lock', '.lock'),
    maxLength: 6,
  });
  fc.assert(
    fc.property(part, (name) => !isRefName(`refs/heads/${name}`) || checks(`refs/heads/${name}`)),
    { numRuns: 60 },
  );
});
