import type { Client } from '@fumehood/client';
import type { BatchEvent, BatchSpecRecord } from '@fumehood/protocol';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { completedSpec, follow } from './execute.ts';

let written = '';
beforeEach(() => {
  written = '';
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    written += String(text);
    return true;
  });
});
afterEach(() => vi.restoreAllMocks());

const workspace = (state: string) =>
  ({
    type: 'workspace',
    workspace: {
      id: 'w',
      repository: 'acme/a',
      branch: 'main',
      path: '',
      state,
      reason: null,
      jobId: 1,
      steps: [],
    },
  }) as unknown as BatchEvent;
const waiting = { reason: 'no_executor', message: 'no executor is connected', remedy: 'Start one.' };

/** An instance with these events of a batch spec, on which a job waits for a reason. */
function clientWith(events: readonly BatchEvent[], spec: Partial<BatchSpecRecord> = {}): Client {
  const why = vi.fn(async () => ({ waiting }));
  const batches = {
    async *events() {
      for (const event of events) {
        yield event;
        // What is asked meanwhile is answered.
        await vi.waitFor(() => expect(why).toHaveBeenCalled());
      }
    },
    spec: async () => ({ id: 's', ...spec }),
  };
  return { batches, why } as unknown as Client;
}

it('a workspace whose job nobody can run says why it waits, and what to do', async () => {
  await follow(clientWith([workspace('queued'), workspace('completed')]), 's');
  expect(written.split('\n').slice(0, 3)).toEqual([
    'acme/a (main): queued',
    'acme/a (main): queued: no executor is connected. Start one.',
    'acme/a (main): completed',
  ]);
});

it('whoever goes on with a batch spec of which workspaces have failed is told what that means', async () => {
  const workspaces = { failed: 1 } as BatchSpecRecord['workspaces'];
  const options = { cache: true };
  expect(await completedSpec(clientWith([], { state: 'failed', workspaces }), 's', options)).toBe('s');
  expect(written).toContain(
    '1 workspace failed, without changesets now: applying this closes those from before',
  );
});
