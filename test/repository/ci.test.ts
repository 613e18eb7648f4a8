import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { closingLines, judge, type Results, type TestResult, wholeFile } from '../ci/report.ts';
import { suites } from '../ci/slices.ts';

const one = (name: string, state: TestResult['state'], ms = 1) => ({
  file: 'a.test.ts',
  name,
  state,
  ms,
});
const results = (...tests: TestResult[]): Results => ({ tests, errors: 0 });

describe('a slice', () => {
  test('whose test passes on the second try is flaky, and has not failed', () => {
    const { failures, flaky } = judge('s', 1, results(one('x', 'failed')), results(one('x', 'passed')));
    expect({ failures, flaky }).toEqual({ failures: [], flaky: ['a.test.ts > x'] });
  });

  test('whose test fails twice, or has no second try, has failed', () => {
    for (const second of [results(one('x', 'failed')), results(), null])
      expect(judge('s', 1, results(one('x', 'failed')), second).failures).toEqual(['a.test.ts > x']);
  });

  test('whose other test fails on the second try has failed', () => {
    const second = results(one('x', 'passed'), one('y', 'failed'));
    expect(judge('s', 1, results(one('x', 'failed'), one('y', 'passed')), second).failures).toEqual([
      'a.test.ts > y',
    ]);
  });

  test('whose file failed as a whole is flaky when every test of the file passes on the second try', () => {
    const first = results(one(wholeFile, 'failed'));
    expect(judge('s', 1, first, results(one('x', 'passed'))).flaky).toHaveLength(1);
    expect(judge('s', 1, first, results(one('x', 'failed'))).failures).toHaveLength(2);
    expect(judge('s', 1, first, results()).failures).toHaveLength(1);
  });

  test('with an error that belongs to no test has failed', () => {
    expect(judge('s', 1, { tests: [one('x', 'passed')], errors: 1 }, null).failures).toHaveLength(1);
  });
});

test('the closing lines name the slowest tests, the slices, what was flaky and what failed, and end with the count', () => {
  const first = judge(
    'first',
    2,
    results(one('slow', 'passed', 900), one('x', 'failed')),
    results(one('x', 'passed')),
  );
  const second = judge('second', 3, results(one('y', 'failed'), one('z', 'skipped')), null);
  expect(closingLines([first, second])).toEqual([
    'the 30 slowest tests:',
    '     0.9 s  first: a.test.ts > slow',
    '     0.0 s  first: a.test.ts > x',
    '     0.0 s  second: a.test.ts > y',
    '     0.0 s  second: a.test.ts > z',
    'the slices:',
    '     2.0 s  first: 2 passed, 0 failed, 1 flaky',
    '     3.0 s  second: 0 passed, 1 failed, 0 flaky',
    '     5.0 s  in all',
    'flaky: first: a.test.ts > x',
    '1 flaky',
    'failed: second: a.test.ts > y',
    '2 passed, 1 failed',
  ]);
});

test('every slice is an npm script, and the night runs all that the gate runs', () => {
  const { scripts } = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  const { gate = [], night = [] } = suites;
  const names = (slices: typeof gate) => slices.map(({ name }) => name);
  expect(names(night)).toEqual(expect.arrayContaining(names(gate)));
  for (const { command } of [...gate, ...night]) expect(scripts).toHaveProperty([command.at(-1) as string]);
  expect(
    gate.reduce((sum, { minutes }) => sum + minutes, 0),
    'minutes at most',
  ).toBeLessThan(60);
});
