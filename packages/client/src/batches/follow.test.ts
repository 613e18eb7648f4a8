import type { BatchEvent, WorkspaceRecord } from '@fumehood/protocol';
import { expect, it } from 'vitest';
import { followExecution } from './follow.ts';

const workspace = (id: string, state: WorkspaceRecord['state']) =>
  ({ type: 'workspace', workspace: { id, state } }) as BatchEvent;
const spec = (state: 'pending' | 'completed'): BatchEvent => ({
  type: 'spec',
  state,
  resolution: 'completed',
});

type Options = Parameters<typeof followExecution>[2];

/** Follows an execution with these events, which `fails` ends. Returns what was told, and the last record. */
async function follow(
  events: readonly BatchEvent[],
  { fails, ...options }: Omit<Options, 'view'> & { fails?: () => never } = {},
) {
  const told: string[] = [];
  const batches = {
    async *events() {
      yield* events;
      fails?.();
    },
    spec: async () => ({ state: 'completed' }),
  };
  const view = {
    onWorkspace: ({ id, state }: WorkspaceRecord) => void told.push(`${id} ${state}`),
    end: () => void told.push('end'),
  };
  const client = { batches } as unknown as Parameters<typeof followExecution>[0];
  const last = await followExecution(client, '', { view, ...options }).catch((error: Error) => error.message);
  return { told, last };
}

it('each change of each workspace is told once, also where the stream repeats it', async () => {
  const { told, last } = await follow([
    workspace('a', 'processing'),
    workspace('b', 'queued'),
    spec('pending'),
    workspace('b', 'queued'),
    workspace('a', 'completed'),
    workspace('b', 'completed'),
    spec('completed'),
  ]);
  expect(told).toEqual(['a processing', 'b queued', 'a completed', 'b completed', 'end']);
  expect(last).toEqual({ state: 'completed' });
});

it('a follower can end before the batch spec does', async () => {
  const { told } = await follow([workspace('a', 'pending'), spec('pending'), workspace('a', 'queued')], {
    until: ({ resolution }) => resolution === 'completed',
  });
  expect(told).toEqual(['a pending', 'end']);
});

it('the view is ended when the instance cannot be asked any more', async () => {
  const { told, last } = await follow([], {
    fails() {
      throw new Error('gone');
    },
  });
  expect([told, last]).toEqual([['end'], 'gone']);
});

it('a follower that does not want to know more gets the record as it is', async () => {
  const { last } = await follow([workspace('a', 'queued')], {
    signal: AbortSignal.abort(),
    fails() {
      throw new Error('aborted');
    },
  });
  expect(last).toEqual({ state: 'completed' });
});
