import type { ChangesetState } from '@fumehood/protocol';
import type { ChangesetFacts } from './plan.ts';

/** How far the reconciler is with a changeset. */
export type ReconcilerState = 'queued' | 'processing' | 'errored' | 'failed' | 'completed';

/** Returns the state of a changeset as people see it. */
export function stateOfChangeset({
  reconciler,
  publication,
  externalState,
}: Pick<ChangesetFacts, 'publication' | 'externalState'> & {
  readonly reconciler: ReconcilerState;
}): ChangesetState {
  if (externalState === 'merged' || externalState === 'deleted') return externalState;
  if (reconciler === 'queued') return 'scheduled';
  if (reconciler === 'errored') return 'retrying';
  if (reconciler !== 'completed') return reconciler;
  // A branch alone is neither open nor closed.
  if (externalState !== null && publication !== 'pushed') return externalState;
  return publication === 'published' ? 'open' : publication;
}
