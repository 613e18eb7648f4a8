import type { BatchSpecState } from '@fumehood/protocol';
import { expect, test } from 'vitest';
import { type BatchSpecProgress, stateOfBatchSpec } from './state.ts';

const resolved: BatchSpecProgress = {
  ...{ origin: 'server', resolution: 'completed', isBuilt: false, isBuildFailed: false, workspaces: {} },
};
const cases: [string, Partial<BatchSpecProgress>, BatchSpecState][] = [
  ['a client has sent it', { origin: 'client' }, 'completed'],
  ['its workspaces are not known yet', { resolution: 'queued' }, 'pending'],
  ['its workspaces are being found', { resolution: 'processing' }, 'pending'],
  ['its workspaces cannot be found', { resolution: 'failed' }, 'failed'],
  ['nobody has started it', { workspaces: { pending: 2, skipped: 1 } }, 'pending'],
  ['all workspaces wait', { workspaces: { queued: 2, skipped: 1 } }, 'queued'],
  ['one workspace waits, and one runs', { workspaces: { queued: 1, processing: 1 } }, 'processing'],
  ['one workspace has failed, and one runs', { workspaces: { failed: 1, processing: 1 } }, 'processing'],
  ['one workspace has ended, and one waits', { workspaces: { completed: 1, queued: 1 } }, 'processing'],
  ['one workspace is being canceled', { workspaces: { canceling: 1, canceled: 1, failed: 1 } }, 'canceling'],
  ['one workspace was canceled, and one runs', { workspaces: { canceled: 1, processing: 1 } }, 'processing'],
  ['all workspaces were canceled', { workspaces: { canceled: 2 } }, 'canceled'],
  ['one was canceled, and the others have ended', { workspaces: { canceled: 1, failed: 1 } }, 'canceled'],
  ['one has failed, and the others are complete', { workspaces: { failed: 1, completed: 3 } }, 'failed'],
  ['one workspace runs before the others', { workspaces: { processing: 1, held: 2 } }, 'processing'],
  ['one workspace has run before the others', { workspaces: { completed: 1, held: 2 } }, 'pending'],
  ['changeset specs are still to be made', { workspaces: { completed: 2 } }, 'processing'],
  ['changeset specs cannot be made', { workspaces: { completed: 2 }, isBuildFailed: true }, 'failed'],
  ['all is done', { workspaces: { completed: 2, skipped: 1 }, isBuilt: true }, 'completed'],
  ['all workspaces were skipped', { workspaces: { skipped: 1 }, isBuilt: true }, 'completed'],
];
test.each(cases)('when %s', (_, progress, state) => {
  expect(stateOfBatchSpec({ ...resolved, ...progress })).toBe(state);
});
