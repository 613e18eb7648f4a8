import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { callOf, type Row, rowsOf, skippedDefences, testsOf } from '../ci/threat-model.ts';

const root = join(import.meta.dirname, '../..');
/** The test files that CI runs: the default suite and its slices. */
const runs =
  /^(packages|images)\/.*\.test\.ts$|^test\/(repository|integration|commands|crash|hostile|bare)\/.*\.test\.ts$/;

/** Returns what is wrong with the tests of a row. `read` returns the text of a file, or null. */
function complaints({ hazard, tests }: Row, read: (file: string) => string | null): string[] {
  const named = testsOf(tests);
  if (named.length === 0) return [`${hazard}: names no test`];
  return named.flatMap(({ file, name }) => {
    const source = runs.test(file) ? read(file) : null;
    if (source === null) return [`${hazard}: ${file} is not a test file that CI runs`];
    const call = callOf(source, name);
    if (call === null) return [`${hazard}: ${file} has no test "${name}"`];
    return /\b(skip|todo|only|fails)\b/.test(call) ? [`${hazard}: "${name}" is not run`] : [];
  });
}

function readTest(file: string): string | null {
  const path = join(root, file);
  return existsSync(path) ? readFileSync(path, 'utf8') : null;
}

describe('the threat model', () => {
  const rows = rowsOf(readFileSync(join(root, 'docs/threat-model.md'), 'utf8'));

  test('has rows for exactly the invariants that docs/invariants.md says have some', () => {
    const invariants = readFileSync(join(root, 'docs/invariants.md'), 'utf8');
    const all = [...invariants.matchAll(/^## (\d+)\. /gm)].map(([, number]) => Number(number));
    const [, listed = ''] = /invariants? ([\d, and]+) ha(?:ve|s) no rows/.exec(invariants) ?? [];
    const without = (listed.match(/\d+/g) ?? []).map(Number);
    expect(all.length).toBeGreaterThan(10);
    expect([...new Set(rows.map(({ invariant }) => invariant))]).toEqual(
      all.filter((number) => !without.includes(number)),
    );
  });

  test('names tests that exist and run for every hazard', () => {
    expect(rows.flatMap((row) => complaints(row, readTest))).toEqual([]);
  });
});

describe('the check complains about', () => {
  const source = `
describe('x', () => {
  it('is there', () => {});
  it.each([1])('takes %s', () => {});
  it.skip('is skipped', () => {});
  it.todo('is to come');
});`;
  const of = (tests: string) =>
    complaints({ invariant: 1, hazard: 'h', tests }, (file) =>
      file === 'packages/a/src/a.test.ts' ? source : null,
    );

  test.each([
    ['a row without a test', 'none yet', 'names no test'],
    ['a file that does not exist', '`packages/a/src/b.test.ts` "is there"', 'is not a test file'],
    ['a file that CI does not run', '`bench/a.test.ts` "is there"', 'is not a test file'],
    ['a test that does not exist', '`packages/a/src/a.test.ts` "is not there"', 'has no test'],
    ['a name that only a describe has', '`packages/a/src/a.test.ts` "x"', 'has no test'],
    ['a test that is skipped', '`packages/a/src/a.test.ts` "is skipped"', 'is not run'],
    ['a test that is not written yet', '`packages/a/src/a.test.ts` "is to come"', 'is not run'],
  ])('%s', (_, tests, complaint) => {
    expect(of(tests).join()).toContain(complaint);
  });

  test('no row that is correct', () => {
    expect(of('`packages/a/src/a.test.ts` "is there"; `packages/a/src/a.test.ts` "takes %s"')).toEqual([]);
  });
});

test('the gate fails when a test that the threat model names was skipped, and for no other', () => {
  const markdown = '| 9 everything | it grows | a bound | `packages/a/src/a.test.ts` "takes %s (at most)" |';
  const source = "\n  it.skipIf(!isRoot).each(['7'])('takes %s (at most)', () => {});";
  const result = (name: string, state: 'passed' | 'skipped', file = 'packages/a/src/a.test.ts') => ({
    file,
    name,
    state,
    ms: 1,
  });
  const skipped = result('a bound > takes 7 (at most)', 'skipped');
  expect(skippedDefences(markdown, [skipped], () => source).join()).toContain(
    'it grows: "takes %s (at most)" was skipped',
  );
  const others = [
    result('a bound > takes 7 (at most)', 'passed'),
    result('a bound > gives 7 (at most)', 'skipped'),
    result('a bound > takes 7 (at most)', 'skipped', 'packages/b/src/b.test.ts'),
  ];
  expect(skippedDefences(markdown, others, () => source)).toEqual([]);
  // Of the repetitions of `describe.each`, one has to run.
  const ofQemu = result('qemu > a bound > takes 7 (at most)', 'passed');
  const ofFirecracker = result('firecracker > a bound > takes 7 (at most)', 'skipped');
  expect(skippedDefences(markdown, [ofQemu, ofFirecracker], () => source)).toEqual([]);
  expect(skippedDefences(markdown, [ofFirecracker], () => source)).toHaveLength(1);
  const another = result('qemu > a bound > takes 8 (at most)', 'passed');
  expect(skippedDefences(markdown, [another, ofFirecracker], () => source)).toHaveLength(1);
  // A test that only the night runs is not missed in the gate.
  const nightly = source.replace('it.skipIf(!isRoot)', 'it.runIf(long)');
  expect(skippedDefences(markdown, [skipped], () => nightly)).toEqual([]);
});
