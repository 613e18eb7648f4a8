import { describe, expect, it } from 'vitest';
import { type ChangesetFacts, planChangeset, type WantedChangeset } from './plan.ts';

const branch: Extract<WantedChangeset, { kind: 'branch' }> = {
  kind: 'branch',
  ...{ diff: 'sha256:1', message: 'm', authorName: 'n', authorEmail: 'e' },
  ...{ title: 't', body: 'b', baseRef: 'refs/heads/main', published: null },
};
const unpublished: ChangesetFacts = {
  ...{ wanted: branch, made: null, publication: 'unpublished', asked: null, externalState: null },
  ...{ closing: false, archiving: false, detaching: false, isHosted: true },
  ...{ comments: [], merging: null, onlyAsked: false },
};
const open: ChangesetFacts = {
  ...unpublished,
  made: branch,
  publication: 'published',
  externalState: 'open',
  asked: true,
};
const draft: ChangesetFacts = { ...open, publication: 'draft', externalState: 'draft', asked: 'draft' };
const pushed: ChangesetFacts = { ...open, publication: 'pushed', externalState: null, isHosted: false };
const closed: ChangesetFacts = { ...open, externalState: 'closed' };
const comments = [{ id: '1', body: 'b', since: '2026-01-01T00:00:00Z' }];
const wants = (change: Partial<typeof branch>) => ({ wanted: { ...branch, ...change } });

describe('planChangeset', () => {
  it.each<[string, ChangesetFacts, string]>([
    ['nobody publishes', unpublished, 'nothing'],
    ['the spec publishes', { ...unpublished, ...wants({ published: true }) }, 'push publish'],
    ['the spec does not publish', { ...unpublished, ...wants({ published: false }), asked: true }, 'nothing'],
    ['a user publishes', { ...unpublished, asked: true }, 'push publish'],
    ['a user wants a draft', { ...unpublished, asked: 'draft' }, 'push publish'],
    ['a plain remote gets a branch', { ...unpublished, asked: true, isHosted: false }, 'push'],
    ['a plain remote has no drafts', { ...unpublished, asked: 'draft', isHosted: false }, 'nothing'],
    ['it is as it shall be', open, 'nothing'],
    ['the branch is as it shall be', pushed, 'nothing'],
    ['the diff is another', { ...open, ...wants({ diff: 'sha256:2' }) }, 'push'],
    ['the author is another', { ...open, ...wants({ authorEmail: 'f' }) }, 'push'],
    ['the message is another', { ...pushed, ...wants({ message: 'm2' }) }, 'push'],
    ['the title is another', { ...open, ...wants({ title: 't2' }) }, 'update'],
    ['the base is another', { ...open, ...wants({ baseRef: 'refs/heads/next' }) }, 'update'],
    [
      'the diff and the body are others',
      { ...open, ...wants({ diff: 'sha256:2', body: 'b2' }) },
      'push update',
    ],
    ['a plain remote has no titles', { ...pushed, ...wants({ title: 't2' }) }, 'nothing'],
    ['the repository got a code host', { ...pushed, isHosted: true }, 'publish'],
    ['a draft is to be published', { ...draft, asked: true }, 'undraft'],
    ['a draft stays one', draft, 'nothing'],
    [
      'a draft is to be published with another title',
      { ...draft, ...wants({ published: true, title: 't2' }) },
      'undraft update',
    ],
    ['somebody closed it', closed, 'reopen'],
    [
      'somebody closed it, and the diff is another',
      { ...closed, ...wants({ diff: 'sha256:2' }) },
      'reopen push',
    ],
    ['it is merged', { ...open, externalState: 'merged', ...wants({ diff: 'sha256:2' }) }, 'nothing'],
    ['it is deleted', { ...open, externalState: 'deleted', ...wants({ title: 't2' }) }, 'nothing'],
    ['it has no spec any more', { ...open, wanted: null }, 'nothing'],
    ['it is closed and archived', { ...open, wanted: null, closing: true, archiving: true }, 'close archive'],
    ['it was closed and is archived', { ...closed, wanted: null, closing: true, archiving: true }, 'archive'],
    ['somebody comments', { ...open, comments }, 'comment'],
    ['somebody comments on a closed one', { ...closed, comments, onlyAsked: true }, 'comment'],
    ['somebody merges it', { ...open, merging: 'squash' }, 'merge'],
    [
      'somebody merges it once it is up to date',
      { ...open, ...wants({ title: 't2' }), merging: 'merge' },
      'update merge',
    ],
    [
      'somebody merges it although it has failed',
      { ...open, ...wants({ title: 't2' }), merging: 'merge', onlyAsked: true },
      'merge',
    ],
    ['it was merged meanwhile', { ...open, externalState: 'merged', merging: 'merge' }, 'nothing'],
    ['it is to be closed, and somebody has merged it', { ...open, closing: true, merging: 'merge' }, 'close'],
    ['a plain remote has neither', { ...pushed, comments, merging: 'merge' }, 'nothing'],
    ['a branch is archived', { ...pushed, wanted: null, closing: true, archiving: true }, 'archive'],
    ['a branch alone is not closed', { ...pushed, externalState: 'open', closing: true }, 'nothing'],
    ['it is let go', { ...unpublished, wanted: null, detaching: true }, 'detach'],
    ['it is closed', { ...draft, closing: true }, 'close'],
    [
      'closing prevails over everything',
      { ...draft, closing: true, asked: true, ...wants({ diff: 'sha256:2' }) },
      'close',
    ],
    ['one that is merged is not closed', { ...open, externalState: 'merged', closing: true }, 'nothing'],
    ['it was made elsewhere', { ...unpublished, wanted: { kind: 'existing' } }, 'import'],
    ['it was made elsewhere and is known', { ...open, made: null, wanted: { kind: 'existing' } }, 'nothing'],
  ])('%s', (_, facts, operations) => {
    expect(planChangeset(facts).join(' ')).toBe(operations);
  });
});
