import { type Job, jobSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../../../db/testing.ts';
import { startTestInstance, type TestInstance } from '../../../testing/instance.ts';
import { addIndexing, answerOf, upstreamExecutor } from './upstream.ts';

let server: TestServer;
let instance: TestInstance;
let executor: ReturnType<typeof upstreamExecutor>;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  instance = await startTestInstance(await server.clone());
  executor = upstreamExecutor(instance);
  return () => instance.stop();
});

const both = ['batches', 'codeintel'];

/** Jobs that any executor could lease, in a queue; what is in them does not matter until then. */
async function fill(queue: 'batches' | 'codeintel', count: number): Promise<void> {
  for (let n = 0; n < count; n += 1) await addIndexing(instance);
  if (queue === 'codeintel') return;
  // No kind makes such jobs yet: they are given to another share.
  await sql`
    with moved as (insert into shares (tenant, queue) values ('admin', 'batches') returning id)
    update lines set share_id = moved.id from moved
  `.execute(instance.db);
}

describe('a dequeue from several queues', () => {
  test('D1: gives the job that there is, and names its queue', async () => {
    const { id } = await addIndexing(instance);
    const answer = await executor.dequeueAny(both);
    expect(await answer.json()).toMatchObject({ id, queue: 'codeintel' });
  });

  test('D1: on its own route the queue is not named', async () => {
    await addIndexing(instance);
    expect(await (await executor.dequeue('codeintel')).json()).not.toHaveProperty('queue');
  });

  // Upstream draws lots by weight; a fair share takes turns, which needs no luck. There is no window of dequeues either, and so no
  // queue that is at its limit (D6 to D9, D17).
  test('D2: shares that both have jobs take turns, by their weight', async () => {
    await fill('batches', 12);
    await fill('codeintel', 12);
    const weight = { weight: 4 };
    expect((await instance.api('PUT', '/api/shares/batches/admin', weight)).status).toBe(204);
    const leased: number[] = [];
    for (let n = 0; n < 10; n += 1) {
      // The turn of a lease is counted some moments after it.
      const [status, text] = await answerOf(executor.dequeueAny(both));
      expect(status).toBe(200);
      leased.push(jobSchema.parse(JSON.parse(text)).id);
      await counted(n + 1);
    }
    expect(leased.filter((id) => id <= 12)).toHaveLength(8);
  });

  test.each([[{ queues: [] }], [{ queues: null }], [{}]])('D3: %j is 204', async (queues) => {
    await addIndexing(instance);
    const asked = executor.executor('dequeue', { executorName: 'up', ...queues });
    expect(await answerOf(asked)).toEqual([204, '']);
  });

  test.each([
    ['D4', ['invalidqueue'], 'invalidqueue'],
    ['D5', ['x', 'codeintel', 'y'], 'x, y'],
  ])('%s: queues that there are not are named: %j', async (_, queues, named) => {
    const error = `Invalid queue name(s) '${named}' found. Supported queue names are 'batches, codeintel, runs'.`;
    expect(await answerOf(executor.dequeueAny(queues))).toEqual([500, JSON.stringify({ error })]);
  });

  test('D8: one queue alone is served for as long as it has jobs', async () => {
    await fill('codeintel', 3);
    for (let n = 0; n < 3; n += 1) expect((await answerOf(executor.dequeueAny(['codeintel'])))[0]).toBe(200);
    expect((await answerOf(executor.dequeueAny(['codeintel'])))[0]).toBe(204);
  });

  test('D10: of a record that makes no job is 500 with its queue, and the job has failed', async () => {
    const { id } = await addIndexing(instance);
    await sql`update jobs set payload = '{}'`.execute(instance.db);
    const [status, text] = await answerOf(executor.dequeueAny(both));
    expect([status, text]).toEqual([500, expect.stringContaining('RecordTransformer codeintel: ')]);
    const record = await (await instance.api('GET', `/api/jobs/${id}`)).json();
    expect(record).toMatchObject({ state: 'failed', failure: { reason: 'record_invalid' } });
  });

  test('D11: of a version that is none is 500', async () => {
    const [status, text] = await answerOf(executor.dequeueAny(both, { version: 'x' }));
    expect([status, text]).toEqual([500, expect.stringContaining('Invalid Semantic Version')]);
  });
});

/** Waits until so many leases are counted for their shares. */
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
  const beat = (body: object) => answerOf(executor.executor('heartbeat', { executorName: 'up', ...body }));
  const empty = '{"knownIds":[],"cancelIds":[]}';

  test('D12: names what is held, with its queue', async () => {
    const job: Job = await executor.leased();
    const groups = [
      { queueName: 'batches', jobIds: ['4711'] },
      { queueName: 'codeintel', jobIds: [String(job.id), '4712'] },
    ];
    const known = `"${job.id}-codeintel"`;
    expect(await beat({ queueNames: both, jobIdsByQueue: groups })).toEqual([
      200,
      `{"knownIds":[${known}],"cancelIds":[]}`,
    ]);
    await instance.api('POST', `/api/jobs/${job.id}/cancel`);
    expect(await beat({ queueNames: both, jobIdsByQueue: groups })).toEqual([
      200,
      `{"knownIds":[${known}],"cancelIds":[${known}]}`,
    ]);
  });

  test.each([[{}], [{ queueNames: [] }], [{ queueNames: null }]])('D13: %j is 500', async (queues) => {
    const error = '{"error":"queueNames must be set for multi-queue heartbeats"}';
    expect(await beat(queues)).toEqual([500, error]);
  });

  test('D14: a queue that there is not is 500', async () => {
    const [status, text] = await beat({
      queueNames: both,
      jobIdsByQueue: [{ queueName: 'x', jobIds: [] }],
    });
    expect([status, text]).toEqual([500, expect.stringContaining("Invalid queue name(s) 'x' found.")]);
  });

  test('D15: that fails renews nothing', async () => {
    await executor.leased();
    const lease = () => sql`select lease_expires_at from jobs`.execute(instance.db);
    const { rows } = await lease();
    const groups = [
      { queueName: 'codeintel', jobIds: ['1'] },
      { queueName: 'x', jobIds: [] },
    ];
    expect((await beat({ queueNames: both, jobIdsByQueue: groups }))[0]).toBe(500);
    expect((await lease()).rows).toEqual(rows);
  });

  test('D16: without jobs keeps the executor known, and answers empty lists', async () => {
    expect(await beat({ queueNames: both })).toEqual([200, empty]);
    expect(
      await beat({ queueNames: both, jobIdsByQueue: [{ queueName: 'codeintel', jobIds: null }] }),
    ).toEqual([200, empty]);
    const { rows } = await sql`select name, queues from executors`.execute(instance.db);
    expect(rows).toEqual([{ name: 'up', queues: both }]);
  });
});
