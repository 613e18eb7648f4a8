import type { BatchSpecRecord, Preview, WorkspaceRecord } from '@fumehood/protocol';
import { describe, expect, it } from 'vitest';
import { countsOf, placeOf, previewLines, progressOf, specLines, statOf } from './lines.ts';

const workspace: WorkspaceRecord = {
  ...{ id: 'w', repository: 'acme/payments', branch: 'refs/heads/main', commit: '', path: 'web', jobId: 7 },
  ...{ onlyFetchWorkspace: false, ignored: false, unsupported: false, state: 'queued', reason: null },
  ...{ stepCount: 3, steps: [], queuedAt: null, startedAt: null, finishedAt: null },
};
const stat = { files: 1, addedLines: 2, deletedLines: 3 };
const step = { step: 1, state: 'completed', startedAt: null, finishedAt: null, stat } as const;
const spec: BatchSpecRecord = {
  ...{ id: 's', namespace: 'ann', name: 'greet', creator: 'ann', state: 'completed', origin: 'server' },
  ...{ resolution: 'completed', resolutionFailure: null, text: '', allowIgnored: false },
  ...{ allowUnsupported: false, noCache: false, options: {}, createdAt: '', executedAt: '', builtAt: '' },
  buildFailure: null,
  workspaces: { skipped: 0, pending: 0, queued: 0, processing: 0, completed: 2, failed: 1, canceled: 0 },
};

describe('a workspace', () => {
  it.each([
    ['waits', workspace, 'queued'],
    ['runs', { ...workspace, state: 'processing', steps: [step] }, 'step 2 of 3'],
    ['is about to run', { ...workspace, state: 'processing' }, 'processing'],
    ['is completed', { ...workspace, state: 'completed', steps: [step] }, 'completed, 1 file +2 -3'],
    [
      'has failed',
      { ...workspace, state: 'failed', reason: 'exit code 3:\nits output' },
      'failed: exit code 3',
    ],
    [
      'has failed in a step',
      {
        ...workspace,
        state: 'failed',
        steps: [{ ...step, state: 'failed' }],
        reason: 'the step step.1 ended with exit code 3:\nits output',
      },
      'failed in step 2 of 3: it ended with exit code 3',
    ],
  ] as const)('that %s is shown so', (_what, one, shown) => {
    expect(progressOf(one as WorkspaceRecord)).toBe(shown);
  });

  it('is named by its repository, its directory and its branch', () => {
    expect(placeOf(workspace)).toBe('acme/payments/web (main)');
    expect(placeOf({ ...workspace, path: '' })).toBe('acme/payments (main)');
  });
});

it('counts of nothing are none, and a diff without files changes nothing', () => {
  expect(countsOf(spec.workspaces)).toBe('2 completed, 1 failed');
  expect(countsOf({ open: 0 })).toBe('none');
  expect(statOf({ files: 0, addedLines: 0, deletedLines: 0 })).toBe('no changes');
});

describe('a batch spec', () => {
  const last = (fields: Partial<BatchSpecRecord>) => specLines({ ...spec, ...fields }, []).at(-1);
  it('says what to do next', () => {
    expect(last({})).toContain('`fumehood batches preview s`');
    expect(last({ state: 'failed' })).toContain('`fumehood batches retry s`');
    expect(last({ state: 'pending', executedAt: null })).toContain('`fumehood batches execute s`');
    expect(last({ state: 'processing' })).toBe('workspaces: 2 completed, 1 failed');
  });

  it('says why its workspaces were not found, or no changesets can be made', () => {
    expect(specLines({ ...spec, resolutionFailure: 'no such branch' }, [])).toContain(
      'its workspaces were not found: no such branch',
    );
    expect(specLines({ ...spec, buildFailure: 'a branch twice' }, [])).toContain(
      'no changesets can be made of its results: a branch twice',
    );
  });
});

it('a preview has a line for each changeset', () => {
  const preview: Preview = {
    ...{ batchChange: null, namespace: 'ann', name: 'greet', stats: { push: 1, publish: 1 } },
    changesets: [
      {
        ...{ changeset: null, changesetSpec: 'c', repository: 'acme/payments', headRef: 'refs/heads/greet' },
        ...{ title: 'Greet', externalId: null, published: true, stat, operations: ['push', 'publish'] },
      },
    ],
  };
  expect(previewLines(preview, 's')).toEqual([
    'ann/greet, a new batch change: 1 push, 1 publish',
    '',
    'WOULD          REPOSITORY     BRANCH  CHANGES       TITLE',
    'push, publish  acme/payments  greet   1 file +2 -3  Greet',
    '',
    '`fumehood batches apply s` does it; nothing has happened yet',
  ]);
  const undecided = preview.changesets.map((one) => ({ ...one, published: null }));
  expect(previewLines({ ...preview, changesets: undecided }, 's').at(-2)).toMatch(
    /^of 1 changeset the batch spec does not say .* `fumehood batches apply s --publish` publishes them$/,
  );
});
