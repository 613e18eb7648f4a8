import { type Job, jobSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../../../db/testing.ts';
import { startTestInstance, type TestInstance } from '../../../testing/instance.ts';
import { addIndexing, answerOf, upstreamExecutor } from './upstream.ts';

let server: TestServer;
let instance: TestInstance;
let executor: ReturnType<typeof upstreamExecutor>;
beforeAll(async () => {
  server = openTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  instance = await startTestInstance(await server.clone());
  executor = upstreamExecutor(instance);
  return () => instance.stop();
});

const both = ['batches', 'codeintel'];

/** Adds jobs to a queue. Their content does not matter before they are leased. */
async function fill(queue: 'batches' | 'codeintel', count: number): Promise<void> {
  for (let n = 0; n < count; n += 1) await addIndexing(instance);
  if (queue === 'codeintel') return;
  // No kind makes jobs of `batches`: indexing jobs are moved to a share of that queue.
  await sql`
    with moved as (insert into shares (tenant, queue) values ('admin', 'batches') returning id)
    update lines set share_id = moved.id from moved
  `.execute(instance.db);
}

describe('a dequeue from several queues', () => {
  test('leases a job, and names its queue', async () => {
    const { id } = await addIndexing(instance);
    const answer = await executor.dequeueAny(both);
    expect(await answer.json()).toMatchObject({ id, queue: 'codeintel' });
  });

  test('does not name the queue on the route of that queue', async () => {
    await addIndexing(instance);
    expect(await (await executor.dequeue('codeintel')).json()).not.toHaveProperty('queue');
  });

  // Upstream draws lots by weight, within a window of dequeues; here stride scheduling takes turns.
  test('takes turns between two shares that have jobs, by their weight', async () => {
    await fill('batches', 12);
    await fill('codeintel', 12);
    const weight = { weight: 4 };
    expect((await instance.api('PUT', '/api/shares/batches/admin', weight)).status).toBe(204);
    const leased: number[] = [];
    for (let n = 0; n < 10; n += 1) {
      // A lease is counted for its share some moments later.
      const [status, text] = await answerOf(executor.dequeueAny(both));
      expect(status).toBe(200);
      leased.push(jobSchema.parse(JSON.parse(text)).id);
      await counted(n + 1);
    }
    expect(leased.filter((id) => id <= 12)).toHaveLength(8);
  });

  test.each([[{ queues: [] }], [{ queues: null }], [{}]])('with %j is 204', async (queues) => {
    await addIndexing(instance);
    const asked = executor.executor('dequeue', { executorName: 'up', ...queues });
    expect(await answerOf(asked)).toEqual([204, '']);
  });

  test.each([
    [['invalidqueue'], 'invalidqueue'],
    [['x', 'codeintel', 'y'], 'x, y'],
  ])('names unknown queues in its error: %j', async (queues, named) => {
    const error = `Invalid queue name(s) '${named}' found. Supported queue names are 'batches, codeintel, runs'.`;
    expect(await answerOf(executor.dequeueAny(queues))).toEqual([500, JSON.stringify({ error })]);
  });

  test('serves one queue for as long as it has jobs', async () => {
    await fill('codeintel', 3);
    for (let n = 0; n < 3; n += 1) expect((await answerOf(executor.dequeueAny(['codeintel'])))[0]).toBe(200);
    expect((await answerOf(executor.dequeueAny(['codeintel'])))[0]).toBe(204);
  });

  test('of a record that cannot be handed out is 500 with its queue, and the job has failed', async () => {
    const { id } = await addIndexing(instance);
    await sql`update jobs set payload = '{}'`.execute(instance.db);
    const [status, text] = await answerOf(executor.dequeueAny(both));
    expect([status, text]).toEqual([500, expect.stringContaining('RecordTransformer codeintel: ')]);
    const record = await (await instance.api('GET', `/api/jobs/${id}`)).json();
    expect(record).toMatchObject({ state: 'failed', failure: { reason: 'record_invalid' } });
  });

  test('of an invalid version is 500', async () => {
    const [status, text] = await answerOf(executor.dequeueAny(both, { version: 'x' }));
    expect([status, text]).toEqual([500, expect.stringContaining('Invalid Semantic Version')]);
  });
});

/** Waits until this many leases are counted for their shares. */
async function counted(leases: number): Promise<void> {
  const passed = async () => {
    const { rows } = await sql<{ steps: number }>`
      select sum(pass * weight)::float8 as steps from shares
    `.execute(instance.db);
    return rows[0]?.steps ?? 0;
  };
  await expect.poll(passed, { timeout: 20_000 }).toBeGreaterThan(leases - 0.5);
}

describe('a heartbeat for several queues', () => {
  const heartbeat = (body: object) =>
    answerOf(executor.executor('heartbeat', { executorName: 'up', ...body }));
  const empty = '{"knownIds":[],"cancelIds":[]}';

  test('names the jobs that are held, with their queues', async () => {
    const job: Job = await executor.leased();
    const groups = [
      { queueName: 'batches', jobIds: ['4711'] },
      { queueName: 'codeintel', jobIds: [String(job.id), '4712'] },
    ];
    const known = `"${job.id}-codeintel"`;
    expect(await heartbeat({ queueNames: both, jobIdsByQueue: groups })).toEqual([
      200,
      `{"knownIds":[${known}],"cancelIds":[]}`,
    ]);
    await instance.api('POST', `/api/jobs/${job.id}/cancel`);
    expect(await heartbeat({ queueNames: both, jobIdsByQueue: groups })).toEqual([
      200,
      `{"knownIds":[${known}],"cancelIds":[${known}]}`,
    ]);
  });

  test.each([[{}], [{ queueNames: [] }], [{ queueNames: null }]])('with %j is 500', async (queues) => {
    const error = '{"error":"queueNames must be set for multi-queue heartbeats"}';
    expect(await heartbeat(queues)).toEqual([500, error]);
  });

  test('with an unknown queue is 500', async () => {
    const [status, text] = await heartbeat({
      queueNames: both,
      jobIdsByQueue: [{ queueName: 'x', jobIds: [] }],
    });
    expect([status, text]).toEqual([500, expect.stringContaining("Invalid queue name(s) 'x' found.")]);
  });

  test('that fails renews nothing', async () => {
    await executor.leased();
    const lease = () => sql`select lease_expires_at from jobs`.execute(instance.db);
    const { rows } = await lease();
    const groups = [
      { queueName: 'codeintel', jobIds: ['1'] },
      { queueName: 'x', jobIds: [] },
    ];
    expect((await heartbeat({ queueNames: both, jobIdsByQueue: groups }))[0]).toBe(500);
    expect((await lease()).rows).toEqual(rows);
  });

  test('without jobs keeps the executor connected, and is answered with empty lists', async () => {
    expect(await heartbeat({ queueNames: both })).toEqual([200, empty]);
    expect(
      await heartbeat({ queueNames: both, jobIdsByQueue: [{ queueName: 'codeintel', jobIds: null }] }),
    ).toEqual([200, empty]);
    const { rows } = await sql`select name, queues from executors`.execute(instance.db);
    expect(rows).toEqual([{ name: 'up', queues: both }]);
  });
});
