import {
  attemptsSchema,
  jobPageSchema,
  jobRecordSchema,
  type JobRecord,
  sharesSchema,
  whySchema,
} from '@fumehood/protocol';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../../db/testing.ts';
import { currentRecord } from '../../queue/record.ts';
import { startTestInstance, type TestInstance } from '../../testing/instance.ts';

let server: TestServer;
let instance: TestInstance;

beforeAll(async () => {
  server = openTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  instance = await startTestInstance(await server.clone());
  return () => instance.stop();
});

const get = async (path: string) => (await instance.api('GET', path)).json();
const post = async (key: string | null, changes: object = {}) => {
  const body = {
    queue: 'runs',
    image: await instance.image(),
    argv: ['true'],
    accept: ['vm-emulated'],
    ...changes,
  };
  return instance.api('POST', '/api/jobs', body, key === null ? {} : { 'idempotency-key': key });
};
const record = async (answer: Response): Promise<JobRecord> => jobRecordSchema.parse(await answer.json());

describe('a request with an idempotency key', () => {
  test('makes one job, even when it comes many times at once', async () => {
    const answers = await Promise.all(Array.from({ length: 8 }, () => post('one')));
    const ids = await Promise.all(answers.map(async (answer) => (await record(answer)).id));
    expect(new Set(ids).size).toBe(1);
    expect(jobPageSchema.parse(await get('/api/jobs')).jobs).toHaveLength(1);
  });

  test('that was used for another request is refused, and makes no job', async () => {
    await post('one');
    const answer = await post('one', { argv: ['false'] });
    expect(answer.status).toBe(409);
    expect(await answer.json()).toMatchObject({ error: { code: 'idempotency_conflict' } });
    expect(jobPageSchema.parse(await get('/api/jobs')).jobs).toHaveLength(1);
  });

  test('returns the job in its present state', async () => {
    const { id } = await record(await post('one'));
    await instance.api('POST', `/api/jobs/${id}/cancel`);
    expect(await record(await post('one'))).toMatchObject({ id, state: 'canceled' });
  });

  test.each(['', 'two words', 'x'.repeat(201)])('that is %j is refused', async (key) => {
    expect((await post(key)).status).toBe(400);
  });
});

test('jobs are listed from the newest on, by page, state and queue', async () => {
  const ids: number[] = [];
  for (let n = 0; n < 5; n += 1) ids.push((await instance.run()).id);
  await instance.api('POST', `/api/jobs/${ids[1]}/cancel`);
  const page = async (query: string) => jobPageSchema.parse(await get(`/api/jobs?${query}`));
  const first = await page('limit=2');
  expect(first.jobs.map((job) => job.id)).toEqual([ids[4], ids[3]]);
  const second = await page(`limit=3&before=${first.next}`);
  expect(second).toMatchObject({ jobs: [{ id: ids[2] }, { id: ids[1] }, { id: ids[0] }], next: null });
  expect((await page('state=canceled')).jobs.map((job) => job.id)).toEqual([ids[1]]);
  expect((await page('queue=codeintel')).jobs).toEqual([]);
  expect((await page('tenant=nobody')).jobs).toEqual([]);
  for (const wrong of ['limit=0', 'limit=201', 'state=nearly', 'before=x'])
    expect((await instance.api('GET', `/api/jobs?${wrong}`)).status, wrong).toBe(400);
  expect(await get('/api/jobs?limit=abc')).toMatchObject({
    error: { message: expect.not.stringContaining('NaN') as string },
  });
  expect(await get('/api/jobs/99999')).toMatchObject({
    error: { message: 'there is no job 99999', remedy: expect.not.stringContaining('/api/') as string },
  });
});

test('a job of each kind has its image and the beginning of its command, however long that is', async () => {
  const image = await instance.image();
  const commit = '0'.repeat(40);
  const indexer = (more: object) => ({
    queue: 'codeintel',
    ...{ repository: 'acme/app', commit, indexer: { name: 'one', ...more }, accept: ['container'] },
  });
  const made = async (body: object) => record(await instance.api('POST', '/api/jobs', body));
  const run = { queue: 'runs', image, accept: ['vm-emulated'] };
  const long = { ...run, argv: ['sh', '-c', 'é'.repeat(60_000), ...Array<string>(1000).fill('more')] };
  const command = `sh -c ${'é'.repeat(194)}`;
  expect(await made({ ...run, argv: ['echo', 'a b'] })).toMatchObject({ image, command: 'echo a b' });
  expect(await made({ ...run, argv: [] })).toMatchObject({ image, command: '' });
  expect(await made(long)).toMatchObject({ image, command });
  const archive = indexer({ image, argv: ['scip', 'index'] });
  expect(await made({ ...archive, accept: ['vm-emulated'] })).toMatchObject({ image, command: 'scip index' });
  const pulled = indexer({ image: 'ghcr.io/acme/scip:1', commands: ['scip index', 'ls'] });
  expect(await made(pulled)).toMatchObject({ image: 'ghcr.io/acme/scip:1', command: 'scip index ls' });
  const { jobs } = jobPageSchema.parse(await get('/api/jobs?limit=3'));
  expect(jobs.map((job) => job.command)).toEqual(['scip index ls', 'scip index', command]);
});

test('the reason and the log of an attempt survive the next attempt', async () => {
  const { id } = await instance.run({ maxRetries: 1, retryPauseMs: 0 });
  const entry = {
    key: 'step.docker.0',
    command: ['sh'],
    startTime: '2026-11-25T12:00:00Z',
    out: 'stdout: first\n',
  };
  const first = await instance.lease();
  if (!first) throw new Error('no job was leased');
  const executor = instance.executor();
  await executor.job(first).addEntry(entry);
  await executor.job(first).errored('no', 'vmm_died');
  const second = await instance.lease();
  if (!second) throw new Error('it was not leased again');
  await executor.job(second).addEntry({ ...entry, out: 'stdout: second\n' });
  await executor.job(second).complete();
  const { attempts } = attemptsSchema.parse(await get(`/api/jobs/${id}/attempts`));
  expect(attempts).toMatchObject([
    { attempt: 1, outcome: 'errored', failure: { reason: 'vmm_died', message: 'no' } },
    { attempt: 2, outcome: 'completed', failure: null },
  ]);
  const events = await (await instance.api('GET', `/api/jobs/${id}/events`)).text();
  for (const [attempt, text] of [
    [1, 'first'],
    [2, 'second'],
  ] as const)
    expect(events).toContain(
      `"attempt":${attempt},"entry":1,"stream":"stdout","offset":0,"data":"${Buffer.from(`stdout: ${text}\n`).toString('base64')}"`,
    );
});

describe('why a job waits', () => {
  const why = async (id: number) => whySchema.parse(await get(`/api/jobs/${id}/why`));

  test('is a label that no executor has, then its turn, then nothing', async () => {
    const { id } = await instance.run({ labels: ['gpu'] });
    expect((await why(id)).waiting?.reason).toBe('no_executor');
    await instance.lease();
    expect((await why(id)).waiting).toMatchObject({
      reason: 'label_not_offered',
      message: 'no connected executor has the label gpu',
    });
    const plain = await instance.run();
    expect(await why(plain.id)).toMatchObject({ waiting: { reason: 'turn' }, ahead: 1, share: 1 });
    await instance.lease();
    expect(await why(plain.id)).toMatchObject({ state: 'processing', waiting: null, ahead: null });
  });

  test('is its start time when it has one', async () => {
    const processAfter = new Date(Date.now() + 3_600_000).toISOString();
    const { id } = await instance.run({ processAfter });
    await instance.lease();
    expect(await why(id)).toMatchObject({ waiting: { reason: 'later' }, expectedStartAt: null });
  });

  test('is 404 for an unknown job', async () => {
    for (const what of ['why', 'attempts'])
      expect((await instance.api('GET', `/api/jobs/4711/${what}`)).status).toBe(404);
  });
});

test('a job has no reason to wait while the database has just been away, because executors could not report', async () => {
  const { id } = await instance.run();
  const health = { watch: <T>(run: () => Promise<T>) => run(), settled: () => false };
  expect((await currentRecord({ db: instance.db, health }, id)).waiting).toBeNull();
  const settled = { ...health, settled: () => true };
  expect((await currentRecord({ db: instance.db, health: settled }, id)).waiting?.reason).toBe('no_executor');
});

test('the weight of a share can be set and read, and is checked', async () => {
  await instance.run();
  const put = (path: string, weight: unknown) => instance.api('PUT', `/api/shares/${path}`, { weight });
  expect((await put('runs/admin', 2.5)).status).toBe(204);
  expect((await put('codeintel/acme', 4)).status).toBe(204);
  expect(sharesSchema.parse(await get('/api/shares')).shares).toEqual([
    { tenant: 'acme', queue: 'codeintel', weight: 4, waiting: 0, running: 0 },
    { tenant: 'admin', queue: 'runs', weight: 2.5, waiting: 1, running: 0 },
  ]);
  for (const weight of [0, -1, 'much', null]) expect((await put('runs/admin', weight)).status).toBe(400);
  expect((await put('nowhere/admin', 1)).status).toBe(400);
});
