import type { JobRecord, Tier } from '@fumehood/protocol';
import { describe, expect, test } from 'vitest';
import type { ConnectedExecutor } from './sql/executors.ts';
import { explainWait, whyNoExecutorFits } from './waiting.ts';

const job = {
  state: 'queued',
  queue: 'runs',
  accept: ['vm-hardware'],
  tenant: 'acme',
  arch: null,
  labels: [] as string[],
  needsNative: true,
  resources: { cpus: 2, memoryMiB: 2048, scratchMiB: 4096 },
  processAfter: null,
} as JobRecord;
const executor = (changes: Partial<ConnectedExecutor> = {}): ConnectedExecutor => ({
  name: 'e1',
  version: '1',
  queues: ['runs'],
  tiers: ['vm-hardware'],
  native: true,
  arch: 'x64',
  labels: [],
  cpus: 2,
  memory_mib: 2048,
  scratch_mib: 4096,
  draining: false,
  pausing: false,
  trouble: null,
  last_seen_at: new Date(0),
  ...changes,
});

describe('whyNoExecutorFits', () => {
  test.each<[string, ConnectedExecutor[], string | null]>([
    ['no executor is connected', [], 'no_executor'],
    ['only another queue is served', [executor({ queues: ['batches'] })], 'no_executor'],
    ['every executor drains', [executor({ draining: true })], 'executors_drain'],
    [
      'every executor has trouble with its machine',
      [executor({ trouble: 'the disk is full' })],
      'executors_troubled',
    ],
    ['one of two has trouble', [executor({ trouble: 'the disk is full' }), executor()], null],
    ['one of two drains', [executor({ draining: true }), executor()], null],
    [
      'the only one that fits drains, and another one is of a weaker tier',
      [executor({ draining: true }), executor({ tiers: ['vm-emulated'] })],
      'executors_drain',
    ],
    [
      'one that does not fit drains',
      [executor({ draining: true, tiers: ['container'] })],
      'tier_not_offered',
    ],
    ['another tier is offered', [executor({ tiers: ['vm-emulated'] })], 'tier_not_offered'],
    ['no tier is offered', [executor({ tiers: [] })], 'tier_not_offered'],
    ['no executor has that much memory', [executor({ memory_mib: 2047 })], 'too_big'],
    ["only upstream's executors are there", [executor({ native: false })], 'native_not_offered'],
    ['one of two is native', [executor({ native: false }), executor()], null],
    ['it waits its turn', [executor()], null],
    ['it fits one of two', [executor({ cpus: 1 }), executor()], null],
    [
      'the executor did not report its resources',
      [executor({ cpus: null, memory_mib: null, scratch_mib: null })],
      null,
    ],
  ])('%s', (_, connected, reason) => {
    expect(whyNoExecutorFits(job, connected)?.reason ?? null).toBe(reason);
  });

  test('names the tier to accept, and what it means', () => {
    const tiers: Tier[] = ['vm-emulated'];
    const why = whyNoExecutorFits(job, [executor({ tiers })]);
    expect(why?.message).toContain('emulated CPU');
    expect(why?.remedy).toContain('`--accept vm-emulated`');
  });

  test('returns null for a job that does not wait', () => {
    expect(whyNoExecutorFits({ ...job, state: 'processing' }, [])).toBeNull();
  });
});

describe('whyNoExecutorFits, for a job that demands', () => {
  test.each<[string, Partial<JobRecord>, Partial<ConnectedExecutor>[], string | null]>([
    ['another architecture', { arch: 'arm64' }, [{}], 'arch_not_offered'],
    ['no native extension', { needsNative: false }, [{ native: false }], null],
    ['an architecture that no executor reported', { arch: 'x64' }, [{ arch: null }], 'arch_not_offered'],
    ['a label that no executor has', { labels: ['gpu'] }, [{ labels: ['region=eu'] }], 'label_not_offered'],
    [
      'labels that no single executor has',
      { labels: ['a', 'b'] },
      [{ labels: ['a'] }, { labels: ['b'] }],
      'label_not_offered',
    ],
    ['labels that one executor has', { labels: ['b', 'a'] }, [{ labels: ['a', 'b', 'c'] }], null],
    // The executor with the label is too small: a bigger one with the label would help.
    [
      'a label that only a small executor has',
      { labels: ['gpu'] },
      [{ labels: ['gpu'], cpus: 1 }, {}],
      'too_big',
    ],
  ])('%s', (_, asks, connected, reason) => {
    expect(whyNoExecutorFits({ ...job, ...asks }, connected.map(executor))?.reason ?? null).toBe(reason);
  });

  test('names the missing labels', () => {
    const waiting = whyNoExecutorFits({ ...job, labels: ['gpu', 'region=eu'] }, [
      executor({ labels: ['gpu'] }),
    ]);
    expect(waiting?.message).toBe('no connected executor has the label region=eu');
  });
});

describe('explainWait', () => {
  const now = new Date('2026-11-25T12:00:00.000Z');
  const position = { own: 4, others: 10, share: 0.2, pace: 0.5 };

  test('returns the number of jobs ahead, the share, and the estimated start', () => {
    expect(explainWait(job, [executor()], position, now)).toEqual({
      state: 'queued',
      waiting: {
        reason: 'turn',
        message: 'jobs ahead of it: 14 (4 of acme, whose share is 20 %)',
        remedy: 'Wait, connect more executors, or ask an admin to change the weight of the share.',
      },
      ahead: 14,
      share: 0.2,
      expectedStartAt: '2026-11-25T12:00:30.000Z',
    });
  });

  test('estimates no start while no attempt has ended, or no executor can run the job', () => {
    expect(explainWait(job, [executor()], { ...position, pace: null }, now).expectedStartAt).toBeNull();
    expect(explainWait(job, [], position, now)).toMatchObject({
      waiting: { reason: 'no_executor' },
      expectedStartAt: null,
    });
  });

  test('names the time before which the job must not start, and estimates no earlier start', () => {
    const later = { ...job, processAfter: '2026-11-25T13:00:00.000Z' };
    expect(explainWait(later, [executor()], position, now)).toMatchObject({
      waiting: { reason: 'later' },
      expectedStartAt: '2026-11-25T13:00:00.000Z',
    });
    const retried = { ...later, state: 'errored' as const };
    expect(explainWait(retried, [executor()], position, now).waiting?.message).toContain(
      'its last attempt failed',
    );
  });

  test('returns no reason for a job that does not wait', () => {
    expect(explainWait({ ...job, state: 'processing' }, [executor()], undefined, now).waiting).toBeNull();
  });
});
