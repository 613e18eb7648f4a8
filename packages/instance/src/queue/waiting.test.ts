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
  last_seen_at: new Date(0),
  ...changes,
});

describe('why a job waits', () => {
  test.each<[string, ConnectedExecutor[], string | null]>([
    ['nobody is there', [], 'no_executor'],
    ['only another queue is served', [executor({ queues: ['batches'] })], 'no_executor'],
    ['everybody drains', [executor({ draining: true })], 'executors_drain'],
    ['one of two drains', [executor({ draining: true }), executor()], null],
    ['another tier is offered', [executor({ tiers: ['vm-emulated'] })], 'tier_not_offered'],
    ['no tier is offered', [executor({ tiers: [] })], 'tier_not_offered'],
    ['nobody has that much memory', [executor({ memory_mib: 2047 })], 'too_big'],
    ["only upstream's executors are there", [executor({ native: false })], 'native_not_offered'],
    ['one of two is ours', [executor({ native: false }), executor()], null],
    ['it waits its turn', [executor()], null],
    ['it fits one of two', [executor({ cpus: 1 }), executor()], null],
    [
      'the executor did not say what it has',
      [executor({ cpus: null, memory_mib: null, scratch_mib: null })],
      null,
    ],
  ])('%s', (_, connected, reason) => {
    expect(whyNoExecutorFits(job, connected)?.reason ?? null).toBe(reason);
  });

  test('names what to accept, and what that means', () => {
    const tiers: Tier[] = ['vm-emulated'];
    const why = whyNoExecutorFits(job, [executor({ tiers })]);
    expect(why?.message).toContain('emulated CPU');
    expect(why?.remedy).toContain('`--accept vm-emulated`');
  });

  test('is asked of waiting jobs alone', () => {
    expect(whyNoExecutorFits({ ...job, state: 'processing' }, [])).toBeNull();
  });
});

describe('why a job that asks for more waits', () => {
  test.each<[string, Partial<JobRecord>, Partial<ConnectedExecutor>[], string | null]>([
    ['another architecture', { arch: 'arm64' }, [{}], 'arch_not_offered'],
    ['nothing of ours', { needsNative: false }, [{ native: false }], null],
    ['an architecture that nobody named', { arch: 'x64' }, [{ arch: null }], 'arch_not_offered'],
    ['a label that nobody has', { labels: ['gpu'] }, [{ labels: ['region=eu'] }], 'label_not_offered'],
    [
      'labels that no one has together',
      { labels: ['a', 'b'] },
      [{ labels: ['a'] }, { labels: ['b'] }],
      'label_not_offered',
    ],
    ['labels that one has', { labels: ['b', 'a'] }, [{ labels: ['a', 'b', 'c'] }], null],
    // The one with the label is too small: what would help is a bigger one with it.
    ['a label on a small one', { labels: ['gpu'] }, [{ labels: ['gpu'], cpus: 1 }, {}], 'too_big'],
  ])('%s', (_, asks, connected, reason) => {
    expect(whyNoExecutorFits({ ...job, ...asks }, connected.map(executor))?.reason ?? null).toBe(reason);
  });

  test('names the labels that are missing', () => {
    const waiting = whyNoExecutorFits({ ...job, labels: ['gpu', 'region=eu'] }, [
      executor({ labels: ['gpu'] }),
    ]);
    expect(waiting?.message).toBe('no connected executor has the label region=eu');
  });
});

describe('why a job does not run yet', () => {
  const now = new Date('2026-11-25T12:00:00.000Z');
  const standing = { own: 4, others: 10, share: 0.2, pace: 0.5 };

  test('says how many are ahead, the share, and when it may start', () => {
    expect(explainWait(job, [executor()], standing, now)).toEqual({
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

  test('promises no start while nothing has ended, or nobody can run it', () => {
    expect(explainWait(job, [executor()], { ...standing, pace: null }, now).expectedStartAt).toBeNull();
    expect(explainWait(job, [], standing, now)).toMatchObject({
      waiting: { reason: 'no_executor' },
      expectedStartAt: null,
    });
  });

  test('is the time that it was told, and no start is expected before', () => {
    const later = { ...job, processAfter: '2026-11-25T13:00:00.000Z' };
    expect(explainWait(later, [executor()], standing, now)).toMatchObject({
      waiting: { reason: 'later' },
      expectedStartAt: '2026-11-25T13:00:00.000Z',
    });
    const retried = { ...later, state: 'errored' as const };
    expect(explainWait(retried, [executor()], standing, now).waiting?.message).toContain(
      'its last attempt failed',
    );
  });

  test('is nothing when it does not wait', () => {
    expect(explainWait({ ...job, state: 'processing' }, [executor()], undefined, now).waiting).toBeNull();
  });
});
