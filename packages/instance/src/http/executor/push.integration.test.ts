import { readEvents } from '@fumehood/base';
import { type Job, madeCredentialSchema, type Order, orderSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Connection } from '../../config.ts';
import { openTestServer, type TestServer } from '../../db/testing.ts';
import { startTestInstance, type TestInstance } from '../../testing/instance.ts';

let server: TestServer;
let connection: Connection;
/** Two replicas. The valid credential is that of `other`, which started last. */
let instance: TestInstance;
let other: TestInstance;
const leaving = new AbortController();

beforeAll(async () => {
  server = openTestServer();
  connection = await server.clone();
  instance = await startTestInstance(connection);
  other = await startTestInstance(connection);
});
afterAll(async () => {
  leaving.abort();
  await instance.stop();
  await other.stop();
  await server.stop();
});

function open(executor: string, { at = instance, credential = other.credential } = {}): Promise<Response> {
  return at.executor({ name: executor, credential, protocol: null }).push(leaving.signal);
}

/** Opens a stream and returns its orders as they come. */
async function follow(executor: string, at = instance) {
  const response = await open(executor, { at });
  expect(response.status).toBe(200);
  const events = readEvents(response.body as ReadableStream<Uint8Array>, 65_536);
  const next = async (): Promise<Order | null> => {
    const { done, value } = await events.next();
    return done ? null : orderSchema.parse(JSON.parse(value.data));
  };
  return {
    next,
    /** Returns the next order that is not a hint at work: jobs of other tests cause such hints too. */
    async nextOrder(): Promise<Order | null> {
      for (;;) {
        const order = await next();
        if (order?.type !== 'work') return order;
      }
    },
  };
}

async function credential(name: string) {
  const answer = await other.api('POST', '/api/access/executor-credentials', { name, queues: ['runs'] });
  return madeCredentialSchema.parse(await answer.json());
}
async function leased(executor: string): Promise<Job> {
  await other.run();
  const job = await other.lease({ executor, waitMs: 10_000 });
  if (!job) throw new Error('no job was leased');
  return job;
}
const heartbeat = async (executor: string) => {
  const answer = await other.executor({ name: executor }).heartbeat({ queueNames: ['runs'] });
  return (await answer.json()) as { fumehood: { draining: boolean } };
};
const cancel = (job: Job) => other.api('POST', `/api/jobs/${job.id}/cancel`);
const attemptOf = ({ id }: Job) => ({ jobId: id, queue: 'runs', attempt: 1 });
const free = { type: 'drain', draining: false };

describe('the push stream', () => {
  test('begins with the present state', async () => {
    const [job, running] = [await leased('first'), await leased('first')];
    await cancel(job);
    const stream = await follow('first');
    expect([await stream.nextOrder(), await stream.nextOrder()]).toEqual([
      free,
      { type: 'cancel', ...attemptOf(job) },
    ]);
    await cancel(running);
    expect(await stream.nextOrder()).toEqual({ type: 'cancel', ...attemptOf(running) });
  });

  test('tells of a cancel at another replica, and of no job of another executor', async () => {
    const [mine, theirs] = [await leased('mine'), await leased('theirs')];
    const stream = await follow('mine');
    expect(await stream.nextOrder()).toEqual(free);
    await cancel(theirs);
    await cancel(mine);
    expect(await stream.nextOrder()).toEqual({ type: 'cancel', ...attemptOf(mine) });
  });

  test('tells of an expired lease, with its attempt', async () => {
    const job = await leased('slow');
    const stream = await follow('slow');
    expect(await stream.nextOrder()).toEqual(free);
    await sql`
      update jobs set lease_expires_at = clock_timestamp() - interval '1 minute' where id = ${job.id}
    `.execute(instance.db);
    expect(await stream.nextOrder()).toEqual({ type: 'lost', ...attemptOf(job) });
    await cancel(job);
  });

  test('hints at work, and not once for each job', async () => {
    const stream = await follow('idle');
    expect(await stream.nextOrder()).toEqual(free);
    const jobs = await Promise.all(Array.from({ length: 20 }, () => other.run()));
    expect(await stream.next()).toEqual({ type: 'work' });
    await other.api('POST', '/api/executors/idle/drain');
    const hints: unknown[] = [];
    for (let order = await stream.next(); order?.type === 'work'; order = await stream.next())
      hints.push(order);
    expect(hints.length).toBeLessThan(20);
    await other.api('POST', '/api/executors/idle/resume');
    for (const { id } of jobs) await other.api('POST', `/api/jobs/${id}/cancel`);
  });

  test('ends when the executor opens another one, even on another replica', async () => {
    const first = await follow('twice');
    expect(await first.nextOrder()).toEqual(free);
    const second = await follow('twice', other);
    expect(await second.nextOrder()).toEqual(free);
    expect(await first.nextOrder()).toBeNull();
    const third = await follow('twice', other);
    expect(await third.nextOrder()).toEqual(free);
    expect(await second.nextOrder()).toBeNull();
  });

  test('is refused without a name, and under a name that another credential uses', async () => {
    await cancel(await leased('known'));
    const stranger = { credential: (await credential('second')).secret };
    expect((await open('known', stranger)).status).toBe(403);
    const nameless = await open('');
    expect([nameless.status, await nameless.text()]).toEqual([
      500,
      expect.stringContaining('hostname cannot be empty'),
    ]);
  });

  test('ends when its credential is no longer valid', async () => {
    const { secret, id } = await credential('short');
    const response = await open('dismissed', { credential: secret });
    expect(response.status).toBe(200);
    await other.api('POST', `/api/access/executor-credentials/${id}/revoke`);
    const text = await response.text();
    expect(text).toContain('drain');
  });

  test('ends when the instance does', async () => {
    const third = await startTestInstance(await server.clone());
    const response = await third.executor().push();
    const text = response.text();
    await third.stop();
    expect(await text).toContain('drain');
  });
});

describe('a draining executor', () => {
  const ask = async (action: string, name = 'e%2F1') =>
    (await other.api('POST', `/api/executors/${name}/${action}`)).status;

  test('learns it from its stream and its heartbeat, leases no more jobs, and leases again after a resume', async () => {
    const executor = 'e/1';
    await heartbeat(executor);
    const stream = await follow('e%2F1');
    expect(await stream.nextOrder()).toEqual(free);
    expect(await ask('drain')).toBe(204);
    expect(await stream.nextOrder()).toEqual({ type: 'drain', draining: true });
    expect((await heartbeat(executor)).fumehood).toEqual({ draining: true });

    const { id } = await other.run();
    expect(await other.lease({ executor })).toBeNull();
    const status = (await (await other.api('GET', '/api/status')).json()) as {
      executors: { name: string; draining: boolean }[];
    };
    expect(status.executors.find(({ name }) => name === executor)).toMatchObject({ draining: true });

    // The instance holds the request, and answers it after the resume.
    const waiting = other.lease({ executor, waitMs: 30_000 });
    expect(await ask('resume')).toBe(204);
    expect((await waiting)?.id).toBe(id);
    expect(await stream.nextOrder()).toEqual(free);
    expect((await heartbeat(executor)).fumehood).toEqual({ draining: false });
  });

  test('that is unknown is 404', async () => {
    expect([await ask('drain', 'nobody'), await ask('resume', 'nobody')]).toEqual([404, 404]);
  });
});
