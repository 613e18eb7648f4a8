import type { IndexStatus } from '@fumehood/protocol';
import { expect, it } from 'vitest';
import { statusLines } from './status.ts';

const [tip, older] = ['a'.repeat(40), 'b'.repeat(40)];
const now = Date.parse('2026-03-04T12:00:00Z');
const index = {
  ...{ id: 7, commit: older, root: 'web', indexer: 'scip-typescript', indexerVersion: '0.4.0', jobId: 12 },
  ...{ uploadedAt: '2026-03-01T10:00:00Z', documents: 3, occurrences: 40, symbols: 5, behind: 2 },
  uploadedBy: null,
};
const decided = {
  plannedAt: '2026-03-01T09:00:00Z',
  policy: null,
  source: 'inferred',
  notes: [],
  failure: null,
};
const job = { root: 'web', indexer: 'scip-typescript', uploadId: null, documents: null, failure: null };
const nothing: IndexStatus = { repository: 'acme/one', tip, policies: [], indexes: [], commits: [] };

it('the indexes of a repository are shown with their age, what they hold, and how far they are behind', () => {
  const commits = [
    { ...decided, commit: older, jobs: [{ ...job, id: 12, state: 'completed', uploadId: 7, documents: 3 }] },
    {
      ...decided,
      commit: 'c'.repeat(40),
      jobs: [
        { ...job, id: 11, state: 'failed', failure: 'step_failed' },
        { ...job, id: 10, state: 'canceled', failure: 'canceled' },
      ],
    },
    { ...decided, commit: 'd'.repeat(40), failure: 'fumehood.yaml:1:1: broken', jobs: [] },
    { ...decided, commit: 'e'.repeat(40), notes: ['composer.json: …'], jobs: [] },
  ];
  const lines = statusLines({ ...nothing, policies: ['main'], indexes: [index], commits }, now);
  expect(lines[1]).toMatch(/^7 +b{12} +2 +3 d +scip-typescript 0\.4\.0 in web +3 +40 +5 +job 12$/);
  expect(lines.slice(4, 9).map((line) => line.replace(/ {2,}/g, ' | '))).toEqual([
    'bbbbbbbbbbbb | 2026-03-01 09:00 | on demand | 12 | scip-typescript in web | completed, 3 documents',
    'cccccccccccc | 2026-03-01 09:00 | on demand | 11 | scip-typescript in web | failed (step_failed)',
    'cccccccccccc | 2026-03-01 09:00 | on demand | 10 | scip-typescript in web | canceled',
    'dddddddddddd | 2026-03-01 09:00 | on demand | fumehood.yaml:1:1: broken',
    'eeeeeeeeeeee | 2026-03-01 09:00 | on demand | no jobs: inferred: composer.json: …',
  ]);
  expect(lines.slice(10)).toEqual([
    'the tip aaaaaaaaaaaa is not indexed: the policies main have not taken it up; `fumehood index acme/one` does it now',
    '`fumehood jobs logs JOB` shows the output of a job, `fumehood jobs why JOB` why it waits',
  ]);
});

it.each([
  [nothing, /^the tip a{12} is not indexed, and no policy names the repository: `fumehood index acme\/one`/],
  [{ ...nothing, tip: null }, /^the instance has no commit of it yet: `fumehood repos show acme\/one`$/],
])('a repository without an index is told why', (status, expected) => {
  expect(statusLines(status, now)).toEqual([expect.stringMatching(expected)]);
});

it('a tip that an index has needs nothing, also when a person has uploaded it', () => {
  const uploaded = { ...index, commit: tip, behind: 0, uploadedBy: 'ann' };
  const [, line, ...rest] = statusLines({ ...nothing, indexes: [uploaded] }, now);
  expect(line).toMatch(/\(tip\).* ann$/);
  expect(rest).toEqual([]);
});
