import type { Client } from '@fumehood/client';
import type { BatchChangeRecord } from '@fumehood/protocol';
import { expect, it } from 'vitest';
import { untilDone } from './until-done.ts';

/** Follows a batch change whose looks are these, one after the other. Returns what was told. */
async function told(...looks: readonly Partial<BatchChangeRecord>[]): Promise<string[]> {
  let at = 0;
  const lines: string[] = [];
  const client = {
    batches: { batchChange: async () => ({ wavesStopped: null, ...looks[at++] }) },
  } as unknown as Client;
  await untilDone(client, '', {
    clock: { sleep: async () => {} } as unknown as Parameters<typeof untilDone>[2]['clock'],
    signal: new AbortController().signal,
    onProgress: (line) => void lines.push(line),
  });
  expect(at).toBe(looks.length);
  return lines;
}

it('a batch change is followed until none of its changesets waits or is worked on', async () => {
  const lines = await told(
    { changesets: { scheduled: 2 } },
    { changesets: { scheduled: 2 } },
    { changesets: { processing: 1, pushed: 1 } },
    { changesets: { retrying: 1, pushed: 1 } },
    { changesets: { failed: 1, pushed: 1 } },
  );
  expect(lines).toEqual([
    'changesets: 2 scheduled',
    'changesets: 1 processing, 1 pushed',
    'changesets: 1 retrying, 1 pushed',
    'changesets: 1 failed, 1 pushed',
  ]);
});

it('a batch change whose waves have stopped is done until somebody resumes it', async () => {
  expect(await told({ changesets: { scheduled: 2 }, wavesStopped: 'checks' })).toHaveLength(1);
});
