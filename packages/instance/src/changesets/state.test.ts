import { expect, it } from 'vitest';
import { stateOfChangeset } from './state.ts';

it.each([
  ['completed', 'unpublished', null, 'unpublished'],
  ['completed', 'pushed', null, 'pushed'],
  ['completed', 'pushed', 'open', 'pushed'],
  ['completed', 'pushed', 'merged', 'merged'],
  ['completed', 'published', null, 'open'],
  ['completed', 'published', 'closed', 'closed'],
  ['completed', 'published', 'open', 'open'],
  ['completed', 'draft', 'draft', 'draft'],
  ['queued', 'unpublished', null, 'scheduled'],
  ['processing', 'published', 'open', 'processing'],
  ['errored', 'published', 'open', 'retrying'],
  ['failed', 'unpublished', null, 'failed'],
  ['failed', 'published', 'merged', 'merged'],
  ['queued', 'published', 'deleted', 'deleted'],
] as const)(
  'a changeset whose reconciler is %s, which is %s and on its host %s, is %s',
  (reconciler, publication, externalState, state) => {
    expect(stateOfChangeset({ reconciler, publication, externalState })).toBe(state);
  },
);
