import type { EgressMode, JobRecord, NetworkCeiling, Tier } from '@fumehood/protocol';
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
  needsVersion: 1,
  network: { asked: { mode: 'none' }, applied: null, narrowedBy: [], broker: [] },
  resources: { cpus: 2, memoryMiB: 2048, scratchMiB: 4096 },
  processAfter: null,
} as unknown as JobRecord;
const of = (one: JobRecord, ceilings: NetworkCeiling[] = []) => ({ job: one, ceilings });
const executor = (changes: Partial<ConnectedExecutor> = {}): ConnectedExecutor => ({
  name: 'e1',
  version: '1',
  queues: ['runs'],
  tiers: ['vm-hardware'],
  native: true,
  protocol: 3,
  egress: ['none', 'allow', 'learn', 'public'],
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
    expect(whyNoExecutorFits(of(job), connected)?.reason ?? null).toBe(reason);
  });

  test('names the tier to accept, and what it means', () => {
    const tiers: Tier[] = ['vm-emulated'];
    const why = whyNoExecutorFits(of(job), [executor({ tiers })]);
    expect(why?.message).toContain('emulated CPU');
    expect(why?.remedy).toContain('`--accept vm-emulated`');
  });

  test('returns null for a job that does not wait', () => {
    expect(whyNoExecutorFits(of({ ...job, state: 'processing' }), [])).toBeNull();
  });
});

describe('whyNoExecutorFits, for a job that demands', () => {
  test.each<[string, Partial<JobRecord>, Partial<ConnectedExecutor>[], string | null]>([
    ['another architecture', { arch: 'arm64' }, [{}], 'arch_not_offered'],
    ['no native extension', { needsNative: false, needsVersion: 0 }, [{ native: false, protocol: 0 }], null],
    ['a newer executor', { needsVersion: 3 }, [{ protocol: 2 }], 'version_not_offered'],
    ['a newer executor, and one has asked for nothing yet', { needsVersion: 3 }, [{ protocol: null }], null],
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
    expect(whyNoExecutorFits(of({ ...job, ...asks }), connected.map(executor))?.reason ?? null).toBe(reason);
  });

  test('names the missing labels', () => {
    const waiting = whyNoExecutorFits(of({ ...job, labels: ['gpu', 'region=eu'] }), [
      executor({ labels: ['gpu'] }),
    ]);
    expect(waiting?.message).toBe('no connected executor has the label region=eu');
  });
});

describe('a job waits for an executor that can hold it to its policy', () => {
  const asking = (mode: EgressMode): JobRecord => ({
    ...job,
    needsNative: false,
    network: {
      asked: mode === 'allow' ? { mode, hosts: [{ name: 'a.test', ports: null }] } : { mode },
      applied: null,
      narrowedBy: [],
      broker: [],
    },
  });
  const without: Partial<ConnectedExecutor> = { egress: ['none'] };
  const upstream: Partial<ConnectedExecutor> = { native: false, protocol: 0, egress: ['public'] };
  const none: NetworkCeiling = { queue: 'runs', tenant: null, policy: { mode: 'none' } };
  test.each<[EgressMode, Partial<ConnectedExecutor>[], NetworkCeiling[], string | null]>([
    ['public', [{}], [], null],
    ['public', [without], [], 'it needs a network (public)'],
    ['allow', [without, without], [], 'it needs a network (allow)'],
    ['allow', [without, {}], [], null],
    ['public', [{ egress: null }], [], null],
    ['none', [without], [], null],
    ['public', [without], [none], null],
    ['public', [upstream], [], null],
    ['none', [upstream], [], 'it may reach no network'],
    ['public', [upstream], [none], 'it may reach no network'],
    ['allow', [upstream], [], 'it may reach only some hosts'],
  ])('%s, with %j, under the ceilings %j: %s', (mode, executors, ceilings, message) => {
    const waiting = whyNoExecutorFits(
      of({ ...asking(mode), needsVersion: 0 }, ceilings),
      executors.map(executor),
    );
    expect(waiting?.reason ?? null).toBe(message && 'network_not_offered');
    expect(waiting?.message ?? '').toContain(message ?? '');
  });

  test('or can give it the broker, whatever its policy is', () => {
    const network = { asked: { mode: 'none' as const }, applied: null, narrowedBy: [], broker: ['npm'] };
    const why = (egress: EgressMode[]) => whyNoExecutorFits(of({ ...job, network }), [executor({ egress })]);
    expect(why(['none', 'allow'])).toBeNull();
    expect(why(['none'])?.message).toContain('it needs a network (for the broker)');
  });
});

describe('explainWait', () => {
  const now = new Date('2026-11-25T12:00:00.000Z');
  const position = { own: 4, others: 10, share: 0.2, pace: 0.5 };

  test('returns the number of jobs ahead, the share, and the estimated start', () => {
    expect(explainWait(of(job), [executor()], position, now)).toEqual({
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
    expect(explainWait(of(job), [executor()], { ...position, pace: null }, now).expectedStartAt).toBeNull();
    expect(explainWait(of(job), [], position, now)).toMatchObject({
      waiting: { reason: 'no_executor' },
      expectedStartAt: null,
    });
  });

  test('names the time before which the job must not start, and estimates no earlier start', () => {
    const later = { ...job, processAfter: '2026-11-25T13:00:00.000Z' };
    expect(explainWait(of(later), [executor()], position, now)).toMatchObject({
      waiting: { reason: 'later' },
      expectedStartAt: '2026-11-25T13:00:00.000Z',
    });
    const retried = { ...later, state: 'errored' as const };
    expect(explainWait(of(retried), [executor()], position, now).waiting?.message).toContain(
      'its last attempt failed',
    );
  });

  test('returns no reason for a job that does not wait', () => {
    expect(explainWait(of({ ...job, state: 'processing' }), [executor()], undefined, now).waiting).toBeNull();
  });
});
