import { type CreateJob, createJobSchema, queueNameSchema, servedQueues } from '@fumehood/protocol';
import { expect, test } from 'vitest';
import { queueParam } from '../http/queues.ts';
import type { JobRow } from '../queue/job.ts';
import type { QueueKind } from '../queue/kind.ts';
import { makeKinds } from './kinds.ts';

const kinds = makeKinds({ hasBlob: async () => true, hasCommit: async () => true, hasExecutorUrl: true });

test('every kind of job that can be requested has an implementation', () => {
  expect([...kinds.keys()].sort()).toEqual([...servedQueues].sort());
  for (const [name, kind] of kinds) expect(kind.name).toBe(name);
});

test('every queue has its routes, and no other name has', () => {
  const pattern = new RegExp(/\((.*)\)$/.exec(queueParam)?.[1] ?? '');
  for (const name of queueNameSchema.options) expect(name).toMatch(pattern);
  expect('nonsense').not.toMatch(pattern);
});

const image = `sha256:${'0'.repeat(64)}`;
const requests = [
  { queue: 'runs', image, argv: [] },
  {
    ...{ queue: 'codeintel', repository: 'acme', commit: '0'.repeat(40) },
    indexer: { name: 'x', image, argv: ['x'] },
  },
] satisfies CreateJob[];

test.each(requests)(
  'a job of $queue has its grace period, within which it is not overdue',
  async (request) => {
    const parsed = createJobSchema.parse({ ...request, deadlineMs: 5_000, stopGraceMs: 3_000 });
    const kind = kinds.get(request.queue) as QueueKind;
    const made = await kind.create(parsed);
    expect(made.deadlineMs).toBe(8_000);
    const contentOf = (payload: unknown) => kind.content({ payload } as JobRow).fumehood;
    expect(contentOf(made.payload)).toMatchObject({ deadlineMs: 5_000, stopGraceMs: 3_000 });
    // A job that an older build has stored.
    const { stopGraceMs: _, ...older } = made.payload as { stopGraceMs: number };
    expect(contentOf(older)).toMatchObject({ deadlineMs: 5_000, stopGraceMs: 10_000 });
    expect(createJobSchema.safeParse({ ...request, stopGraceMs: 300_001 }).success).toBe(false);
  },
);

test('a run names an image archive of the instance by its digest, and an image of a registry by its reference', async () => {
  const kind = makeKinds({
    hasBlob: async () => false,
    hasCommit: async () => true,
    hasExecutorUrl: true,
  }).get('runs') as QueueKind;
  const make = (name: string) => kind.create(createJobSchema.parse({ queue: 'runs', image: name, argv: [] }));
  await expect(make(image)).rejects.toMatchObject({ code: 'blob_not_found' });
  const { payload } = await make('debian:12');
  expect(kind.content({ payload } as JobRow).dockerSteps).toMatchObject([{ image: 'debian:12' }]);
  expect(createJobSchema.safeParse({ queue: 'runs', image: 'not an image', argv: [] }).success).toBe(false);
});
