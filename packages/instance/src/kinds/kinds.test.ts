import { batchVersion, type CreateJob, createJobSchema, queueNameSchema, scopesOf } from '@fumehood/protocol';
import { expect, test } from 'vitest';
import { queueParam } from '../http/queues.ts';
import type { JobRow } from '../queue/job.ts';
import type { QueueKind } from '../queue/kind.ts';
import { batchJob } from '../testing/batch-job.ts';
import { newBatchJob } from './batches.ts';
import { makeKinds } from './kinds.ts';
import { everyStore } from './testing.ts';

const kinds = makeKinds(everyStore);

test('every kind of job has an implementation', () => {
  expect([...kinds.keys()].sort()).toEqual([...queueNameSchema.options].sort());
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

test('a run may have an archive or a commit as its workspace, if the instance has it', async () => {
  const kind = (has: boolean) =>
    makeKinds({
      ...everyStore,
      hasBlob: async (digest) => has || digest === image,
      hasCommit: async () => has,
    }).get('runs') as QueueKind;
  const archive = `sha256:${'1'.repeat(64)}`;
  const commit = { repository: 'acme/one', commit: 'a'.repeat(40) };
  const requestOf = (workspace: object) =>
    createJobSchema.parse({ queue: 'runs', image, argv: [], workspace, artifacts: ['./out//a/'] });
  const inArchive = await kind(true).create(requestOf({ archive }));
  const contentOf = (payload: unknown) => kind(true).content({ payload } as JobRow).fumehood;
  expect(inArchive).toMatchObject({ repository: '', commit: '' });
  expect(contentOf(inArchive.payload)).toMatchObject({ workspace: archive, artifacts: ['out/a'] });
  const inCommit = await kind(true).create(requestOf(commit));
  expect(inCommit).toMatchObject(commit);
  expect(contentOf(inCommit.payload)).toMatchObject({ workspace: null });
  await expect(kind(false).create(requestOf({ archive }))).rejects.toMatchObject({ code: 'blob_not_found' });
  await expect(kind(false).create(requestOf(commit))).rejects.toMatchObject({ code: 'commit_not_found' });
  expect(scopesOf(requestOf(commit))).toEqual(['code:read']);
  expect(scopesOf(requestOf({ archive }))).toEqual([]);
  for (const artifacts of [
    ['../a'],
    ['/a'],
    [''],
    ['.'],
    ['a', './a'],
    Array.from({ length: 65 }, (_, n) => `a${n}`),
  ])
    expect(createJobSchema.safeParse({ queue: 'runs', image, argv: [], artifacts }).success).toBe(false);
  for (const workspace of [{ archive, ...commit }, { repository: 'acme/one' }, { archive: 'debian:12' }])
    expect(createJobSchema.safeParse({ queue: 'runs', image, argv: [], workspace }).success).toBe(false);
});

test('a run names an image archive of the instance by its digest, and an image of a registry by its reference', async () => {
  const kind = makeKinds({ ...everyStore, hasBlob: async () => false }).get('runs') as QueueKind;
  const make = (name: string) => kind.create(createJobSchema.parse({ queue: 'runs', image: name, argv: [] }));
  await expect(make(image)).rejects.toMatchObject({ code: 'blob_not_found' });
  const { payload } = await make('debian:12');
  expect(kind.content({ payload } as JobRow).dockerSteps).toMatchObject([{ image: 'debian:12' }]);
  expect(createJobSchema.safeParse({ queue: 'runs', image: 'not an image', argv: [] }).success).toBe(false);
});

test('indexing reaches the public internet and a run nothing, unless the request says otherwise', async () => {
  const made = async (request: object = {}) => {
    const parsed = createJobSchema.parse(request);
    const kind = kinds.get(parsed.queue) as QueueKind;
    const { demand, payload } = await kind.create(parsed);
    return [demand.needsVersion, demand.egress, kind.content({ payload } as JobRow).fumehood.network];
  };
  const [run, indexing] = requests;
  const container = {
    ...indexing,
    accept: ['container'],
    indexer: { name: 'x', image: 'debian:12', commands: ['x'] },
  };
  const none = { mode: 'none' } as const;
  expect(await made(run)).toEqual([1, 'none', none]);
  expect(await made(indexing)).toEqual([1, 'public', { mode: 'public' }]);
  expect(await made({ ...indexing, network: none })).toEqual([1, 'none', none]);
  expect(await made(container)).toEqual([0, 'public', { mode: 'public' }]);
  expect(await made({ ...container, network: none })).toEqual([0, 'none', none]);
  for (const whole of [
    { artifacts: ['a'] },
    { secrets: ['A'] },
    { terminal: { rows: 1, columns: 1 }, stdin: true },
  ])
    expect(await made({ ...run, ...whole })).toMatchObject([3, 'none', none]);
  expect(await made({ ...run, broker: ['npm'] })).toEqual([3, 'none', none]);
  const { demand } = await (kinds.get('runs') as QueueKind).create(
    createJobSchema.parse({ ...run, broker: ['npm'] }),
  );
  expect(demand.usesBroker).toBe(true);
  const workspace = { archive: image };
  expect(await made({ ...run, workspace })).toMatchObject([3, 'none', none]);
  expect(await made({ ...run, workspace: { repository: 'a', commit: '0'.repeat(40) } })).toMatchObject([
    1,
    'none',
    none,
  ]);
});

test('an indexing job runs its steps before the indexer, each in an image of its own', async () => {
  const kind = kinds.get('codeintel') as QueueKind;
  const requestOf = (more: object) =>
    createJobSchema.parse({
      ...{ queue: 'codeintel', repository: 'acme', commit: '0'.repeat(40), root: 'web' },
      indexer: { name: 'x', image, argv: ['x'] },
      steps: [
        { image: 'node:22', commands: ['npm ci'] },
        { image, commands: ['make'], root: './web/' },
      ],
      ...more,
    });
  const { payload } = await kind.create(requestOf({}));
  expect(kind.content({ payload } as JobRow).dockerSteps).toEqual([
    { key: 'pre-index.0', image: 'node:22', commands: ['npm ci'], dir: '', env: [] },
    { key: 'pre-index.1', image: `blob:${image}`, commands: ['make'], dir: 'web', env: [] },
    { key: 'indexer', image: `blob:${image}`, commands: [], argv: ['x'], dir: 'web', env: [] },
  ]);
  const { payload: older } = await kind.create(requestOf({ steps: [] }));
  expect(kind.content({ payload: older } as JobRow).dockerSteps).toHaveLength(1);
});

test('an executor of upstream’s kind may have an indexing job of images of registries that accepts the weakest tier alone', async () => {
  const kind = kinds.get('codeintel') as QueueKind;
  const create = (more: object) =>
    kind.create(
      createJobSchema.parse({
        ...{ queue: 'codeintel', repository: 'acme', commit: '0'.repeat(40), accept: ['container'] },
        indexer: { name: 'x', image: 'registry.test/x:1', commands: ['x'] },
        ...more,
      }),
    );
  expect((await create({})).demand.needsVersion).toBe(0);
  for (const more of [{ accept: ['vm-hardware'] }, { steps: [{ image, commands: ['make'] }] }])
    expect((await create(more)).demand.needsVersion).toBeGreaterThan(0);
});

test('nobody can ask for a job that stores the index of a package: only the instance makes those', () => {
  const request = (repository: string) => ({ ...requests[1], repository });
  expect(createJobSchema.safeParse(request('acme/pkg:x')).success).toBe(true);
  expect(createJobSchema.safeParse(request('pkg:npm/left-pad@1.3.0')).error?.message).toContain(
    'must be no package',
  );
});

test('a job of a batch change has an image for each step, the whole repository or the one directory, and executors that know its steps', () => {
  const kind = kinds.get('batches') as QueueKind;
  const made = newBatchJob({ ...batchJob, path: './web/', onlyFetchWorkspace: true });
  expect(made).toMatchObject({ deadlineMs: 61_000, demand: { needsVersion: batchVersion } });
  const contentOf = (payload: unknown) => kind.content({ payload } as JobRow);
  expect(contentOf(made.payload)).toMatchObject({
    repositoryDirectory: 'repository',
    sparseCheckout: ['web/*'],
    dockerSteps: [
      { key: 'step.0', image: 'alpine:3', dir: 'repository/web' },
      { key: 'step.1', image: 'node:22', dir: 'repository/web' },
    ],
    fumehood: { batch: true, deadlineMs: 60_000 },
  });
  for (const changes of [{ onlyFetchWorkspace: true }, { path: 'web' }])
    expect(contentOf(newBatchJob({ ...batchJob, ...changes }).payload).sparseCheckout).toBeNull();
  expect(() => newBatchJob({ ...batchJob, images: ['no image'] })).toThrow();
  const { payload: ofArchive } = newBatchJob({ ...batchJob, images: [image] });
  const [step] =
    (kinds.get('batches') as QueueKind).content({ payload: ofArchive } as JobRow).dockerSteps ?? [];
  expect(step?.image).toBe(`blob:${image}`);
});
