import type { Tier } from '@glovebox/protocol';
import { describe, expect, test } from 'vitest';
import type { JobRow } from './job.ts';
import type { ConnectedExecutor } from './sql/executors.ts';
import { whyWaiting } from './waiting.ts';

const job = {
  state: 'queued',
  queue: 'runs',
  accept: ['vm-hardware'],
  cpus: 2,
  memory_mib: 2048,
  scratch_mib: 4096,
} as JobRow;
const executor = (changes: Partial<ConnectedExecutor> = {}): ConnectedExecutor => ({
  name: 'e1',
  version: '1',
  queues: ['runs'],
  tiers: ['vm-hardware'],
  cpus: 2,
  memory_mib: 2048,
  scratch_mib: 4096,
  last_seen_at: new Date(0),
  ...changes,
});

describe('why a job waits', () => {
  test.each<[string, ConnectedExecutor[], string | null]>([
    ['nobody is there', [], 'no_executor'],
    ['only another queue is served', [executor({ queues: ['batches'] })], 'no_executor'],
    ['another tier is offered', [executor({ tiers: ['vm-emulated'] })], 'tier_not_offered'],
    ['no tier is offered', [executor({ tiers: [] })], 'tier_not_offered'],
    ['nobody has that much memory', [executor({ memory_mib: 2047 })], 'too_big'],
    ['it waits its turn', [executor()], null],
    ['it fits one of two', [executor({ cpus: 1 }), executor()], null],
    [
      'the executor did not say what it has',
      [executor({ cpus: null, memory_mib: null, scratch_mib: null })],
      null,
    ],
  ])('%s', (_, connected, reason) => {
    expect(whyWaiting(job, connected)?.reason ?? null).toBe(reason);
  });

  test('names what to accept, and what that means', () => {
    const tiers: Tier[] = ['vm-emulated'];
    const why = whyWaiting(job, [executor({ tiers })]);
    expect(why?.message).toContain('emulated CPU');
    expect(why?.remedy).toContain('`--accept vm-emulated`');
  });

  test('is asked of waiting jobs alone', () => {
    expect(whyWaiting({ ...job, state: 'processing' }, [])).toBeNull();
  });
});
