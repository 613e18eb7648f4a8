import { describe, expect, test } from 'vitest';
import { giteaChecks, giteaReview } from './gitea/facts.ts';
import { githubChecks, githubReview } from './github/facts.ts';
import { gitlabChecks, gitlabReview } from './gitlab/facts.ts';

const by = (id: number, state: string) => ({ user: { id }, state });
const none = { requested_reviewers: [], requested_teams: [] };
const asked = { requested_reviewers: [{}], requested_teams: [] };
const noStatus = { state: 'pending', total_count: 0 };

describe('on GitHub', () => {
  test.each([
    [null, none, []],
    ['pending', asked, []],
    ['pending', { requested_reviewers: [], requested_teams: [{}] }, []],
    ['approved', none, [by(1, 'APPROVED')]],
    ['approved', asked, [by(1, 'APPROVED')]],
    ['approved', none, [by(1, 'APPROVED'), by(1, 'COMMENTED')]],
    ['approved', none, [by(1, 'CHANGES_REQUESTED'), by(1, 'APPROVED')]],
    ['changes_requested', none, [by(1, 'APPROVED'), by(2, 'CHANGES_REQUESTED')]],
    [null, none, [by(1, 'CHANGES_REQUESTED'), by(1, 'DISMISSED')]],
    [null, none, [by(1, 'COMMENTED'), { user: null, state: 'APPROVED' }]],
  ])('a review is %s of %j and %j', (expected, pull, reviews) => {
    expect(githubReview(pull, reviews)).toBe(expected);
  });

  test.each([
    [null, [], noStatus],
    ['passed', [{ status: 'completed', conclusion: 'success' }], noStatus],
    ['passed', [{ status: 'completed', conclusion: 'skipped' }], { state: 'success', total_count: 1 }],
    ['pending', [{ status: 'completed', conclusion: 'neutral' }], { state: 'pending', total_count: 1 }],
    ['pending', [{ status: 'in_progress', conclusion: null }], { state: 'success', total_count: 1 }],
    ['failed', [{ status: 'in_progress', conclusion: null }], { state: 'error', total_count: 1 }],
    [
      'failed',
      [
        { status: 'completed', conclusion: 'timed_out' },
        { status: 'queued', conclusion: null },
      ],
      noStatus,
    ],
    ['failed', [], { state: 'failure', total_count: 2 }],
  ])('checks have %s of %j and %j', (expected, runs, status) => {
    expect(githubChecks(runs, status)).toBe(expected);
  });
});

describe('on Gitea', () => {
  const review = (id: number | null, state: string, dismissed = false) => ({
    ...{ user: id === null ? null : { id }, state, dismissed },
  });
  test.each([
    [null, []],
    ['pending', [review(1, 'REQUEST_REVIEW')]],
    ['pending', [review(null, 'REQUEST_REVIEW')]],
    ['approved', [review(1, 'REQUEST_REVIEW'), review(1, 'APPROVED'), review(1, 'COMMENT')]],
    ['changes_requested', [review(1, 'APPROVED'), review(2, 'REQUEST_CHANGES')]],
    [null, [review(1, 'REQUEST_CHANGES', true)]],
  ])('a review is %s of %j', (expected, reviews) => {
    expect(giteaReview(reviews)).toBe(expected);
  });

  test.each([
    [null, 'pending', 0],
    ['pending', 'pending', 1],
    ['passed', 'success', 1],
    ['failed', 'failure', 2],
    ['failed', 'warning', 1],
  ])('checks have %s of %s and %i', (expected, state, total_count) => {
    expect(giteaChecks({ state, total_count })).toBe(expected);
  });
});

describe('on GitLab', () => {
  test.each([
    [null, [], []],
    ['pending', ['unreviewed'], []],
    ['approved', ['unreviewed', 'approved'], []],
    ['approved', [], [{}]],
    ['changes_requested', ['requested_changes'], [{}]],
  ])('a review is %s of %j and %j', (expected, states, approved_by) => {
    expect(
      gitlabReview(
        states.map((state) => ({ state })),
        { approved_by },
      ),
    ).toBe(expected);
  });

  test.each([
    ['passed', 'success'],
    ['passed', 'skipped'],
    ['pending', 'running'],
    ['pending', 'manual'],
    ['failed', 'failed'],
    ['failed', 'canceled'],
  ])('checks have %s of a pipeline that is %s', (expected, status) => {
    expect(gitlabChecks({ head_pipeline: { status } })).toBe(expected);
  });

  test('a merge request without a pipeline has no checks', () => {
    expect(gitlabChecks({ head_pipeline: null })).toBeNull();
  });
});
