import { expect, test } from 'vitest';
import { subjectsOf } from './subjects.ts';

const sha = 'a'.repeat(40);

test.each([
  [
    'a pull request of GitHub or Gitea',
    { action: 'closed', number: 7, pull_request: { number: 7, merged: true } },
    ['7'],
    [],
  ],
  [
    'a review',
    { action: 'submitted', review: { state: 'approved' }, pull_request: { number: 7 } },
    ['7'],
    [],
  ],
  [
    'a run of a check',
    { check_run: { head_sha: sha, pull_requests: [{ number: 7 }, { number: 8 }] } },
    ['7', '8'],
    [sha],
  ],
  ['a suite of checks', { check_suite: { head_sha: sha, pull_requests: [] } }, [], [sha]],
  ['a workflow', { workflow_run: { head_sha: sha } }, [], [sha]],
  ['a status', { sha, state: 'success', context: 'ci' }, [], [sha]],
  [
    'a merge request of GitLab',
    { object_kind: 'merge_request', object_attributes: { iid: 7, state: 'merged' } },
    ['7'],
    [],
  ],
  [
    'a pipeline of a merge request',
    { object_kind: 'pipeline', object_attributes: { iid: 99, sha }, merge_request: { iid: 7 } },
    ['7'],
    [sha],
  ],
  [
    'a pipeline of a branch',
    { object_kind: 'pipeline', object_attributes: { iid: 99, sha }, merge_request: null },
    [],
    [sha],
  ],
  [
    'an issue of GitLab, which has numbers of its own',
    { object_kind: 'issue', object_attributes: { iid: 7 } },
    [],
    [],
  ],
  ['an issue of GitHub', { action: 'opened', issue: { number: 7 } }, [], []],
  [
    'what is of other types',
    { pull_request: 7, check_run: { head_sha: 'x', pull_requests: {} }, sha: 1, object_attributes: [] },
    [],
    [],
  ],
  ['numbers that are none', { pull_request: { number: -1 }, merge_request: { iid: '7' } }, [], []],
  ['a list', [], [], []],
  ['null', null, [], []],
])('%s is about its changesets and commits', (_what, body, externalIds, commits) => {
  expect(subjectsOf(Buffer.from(JSON.stringify(body)))).toEqual({ externalIds, commits });
});

test('what is no JSON is about nothing', () => {
  expect(subjectsOf(Buffer.from('payload=%7B'))).toEqual({ externalIds: [], commits: [] });
});
