import type { BatchSpecState, WorkspaceState } from '@fumehood/protocol';

/** The states of workspaces as they are counted. `canceling`: its job was canceled and still runs. `held`: others run before it. */
export type CountedState = WorkspaceState | 'canceling' | 'held';

/** What the state of a batch spec follows from. */
export interface BatchSpecProgress {
  readonly origin: 'server' | 'client';
  readonly resolution: 'queued' | 'processing' | 'failed' | 'completed';
  /** Whether changeset specs were made of the results. */
  readonly isBuilt: boolean;
  /** Whether they cannot be made. */
  readonly isBuildFailed: boolean;
  /** How many workspaces are in each state. */
  readonly workspaces: Readonly<Partial<Record<CountedState, number>>>;
}

/** Returns the state of a batch spec. */
export function stateOfBatchSpec({
  origin,
  resolution,
  isBuilt,
  isBuildFailed,
  workspaces,
}: BatchSpecProgress): BatchSpecState {
  if (origin === 'client') return 'completed';
  if (resolution === 'failed' || isBuildFailed) return 'failed';
  if (resolution !== 'completed') return 'pending';
  const count = (...states: CountedState[]) =>
    states.reduce((sum, state) => sum + (workspaces[state] ?? 0), 0);
  const all = count(
    'pending',
    'held',
    'queued',
    'processing',
    'canceling',
    'canceled',
    'failed',
    'completed',
  );
  if (count('completed') === all) return isBuilt ? 'completed' : 'processing';
  if (count('pending', 'held') === all) return 'pending';
  if (count('queued') === all) return 'queued';
  if (count('canceling') > 0) return 'canceling';
  if (count('pending', 'queued', 'processing') > 0) return 'processing';
  if (count('held') > 0) return 'pending';
  return count('canceled') > 0 ? 'canceled' : 'failed';
}
