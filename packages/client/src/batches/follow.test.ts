import type { BatchSpecRecord, WorkspacePage, WorkspaceRecord } from '@fumehood/protocol';
import { expect, it } from 'vitest';
import { followExecution } from './follow.ts';

type Workspace = Pick<WorkspaceRecord, 'id' | 'state'>;

/** A client whose looks at a batch spec have these answers, one after the other. */
function clientOf(looks: readonly (readonly [BatchSpecRecord['state'], readonly Workspace[]])[]) {
  let at = -1;
  const now = () => looks[Math.min(at, looks.length - 1)];
  return {
    spec: async () => {
      at++;
      return { state: now()?.[0], resolution: 'completed' } as BatchSpecRecord;
    },
    // Pages of one workspace.
    workspaces: async (_spec: string, after: number | null = null) => {
      const all = now()?.[1] ?? [];
      const next = (after ?? 0) + 1;
      return {
        workspaces: all.slice(next - 1, next),
        next: next < all.length ? next : null,
      } as unknown as WorkspacePage;
    },
  };
}

async function follow(looks: Parameters<typeof clientOf>[0], onSleep: () => void = () => {}) {
  const told: string[] = [];
  const stop = new AbortController();
  const client = { batches: clientOf(looks) } as unknown as Parameters<typeof followExecution>[0];
  const clock = {
    sleep: async () => onSleep(),
  } as unknown as Parameters<typeof followExecution>[2]['clock'];
  const view = {
    onWorkspace: ({ id, state }: WorkspaceRecord) => void told.push(`${id} ${state}`),
    end: () => void told.push('end'),
  };
  const last = await followExecution(client, '', { view, clock, signal: stop.signal });
  return { told, last };
}

it('each change of each workspace is told once, those of the last look, too', async () => {
  const { told, last } = await follow([
    [
      'processing',
      [
        { id: 'a', state: 'processing' },
        { id: 'b', state: 'queued' },
      ],
    ],
    [
      'processing',
      [
        { id: 'a', state: 'completed' },
        { id: 'b', state: 'queued' },
      ],
    ],
    [
      'completed',
      [
        { id: 'a', state: 'completed' },
        { id: 'b', state: 'completed' },
      ],
    ],
  ]);
  expect(told).toEqual(['a processing', 'b queued', 'a completed', 'b completed', 'end']);
  expect(last.state).toBe('completed');
});

it('the view is ended when the instance cannot be asked any more', async () => {
  const told: string[] = [];
  const client = { batches: { spec: async () => Promise.reject(new Error('gone')) } };
  const followed = followExecution(client as unknown as Parameters<typeof followExecution>[0], '', {
    view: { onWorkspace: () => {}, end: () => void told.push('end') },
    clock: {} as Parameters<typeof followExecution>[2]['clock'],
    signal: new AbortController().signal,
  });
  await expect(followed).rejects.toThrow('gone');
  expect(told).toEqual(['end']);
});
