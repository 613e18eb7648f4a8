import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { median, percentile, rotated } from '../../bench/queue/measure.ts';
import { formatFigure, table } from '../../bench/queue/report.ts';

const root = resolve(import.meta.dirname, '../..');
const sample = { scenario: 's', metric: 'jobs/s' };

test('figures are truncated, never rounded up', () => {
  expect([0, 0.0012345, 0.9999, 9.999, 99.99, 1999.9].map(formatFigure)).toEqual([
    '0',
    '0.00123',
    '0.999',
    '9.99',
    '99.9',
    '1999',
  ]);
});

test('a percentile is one of the values', () => {
  const values = [5, 1, 4, 2, 3];
  expect([median(values), percentile(values, 0.99), percentile(values, 0)]).toEqual([3, 5, 1]);
});

test('every round begins with a different contender', () => {
  expect([1, 2, 3].map((round) => rotated(['a', 'b', 'c'], round).join(''))).toEqual(['bca', 'cab', 'abc']);
});

test('a ratio is the median of the ratios of the rounds, ours divided by theirs', () => {
  const samples = [
    { ...sample, contender: 'theirs', round: 1, value: 10 },
    { ...sample, contender: 'ours', round: 1, value: 20 },
    { ...sample, contender: 'ours', round: 2, value: 300 },
    { ...sample, contender: 'theirs', round: 2, value: 100 },
    { ...sample, contender: 'theirs', round: 3, value: 10 },
    { ...sample, contender: 'ours', round: 3, value: 90 },
  ];
  const notes = new Map([
    ['ours', ''],
    ['theirs', ''],
  ]);
  const scenario = { name: 's', title: 't', lessIsBetter: false, run: async () => ({ samples, notes }) };
  const lines = table(scenario, { samples, notes }).split('\n');
  expect(lines).toContain('| ours | 90.0 |');
  expect(lines).toContain('| **ours ÷ theirs** | 3.00 |');
});

test('no shipped package uses the libraries that the bench compares with', () => {
  const files = readdirSync(join(root, 'packages'), { recursive: true, encoding: 'utf8' }).filter(
    (file) => !file.includes('node_modules') && /\.(ts|mjs|json)$/.test(file),
  );
  const users = files.filter((file) =>
    /pg-boss|graphile-worker/.test(readFileSync(join(root, 'packages', file), 'utf8')),
  );
  expect(files.length).toBeGreaterThan(100);
  expect(users).toEqual([]);
});
