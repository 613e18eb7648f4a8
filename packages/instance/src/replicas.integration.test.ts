import { setTimeout as sleep } from 'node:timers/promises';
import { type Job, jobRecordSchema } from '@glovebox/protocol';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Connection, connect } from './db/connect.ts';
import { startTestServer, type TestServer } from './db/testing.ts';
import { jobHeaders, startTestInstance, type TestInstance } from './testing/instance.ts';

let server: TestServer;
let connection: Connection;
let one: TestInstance;
let other: TestInstance;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  connection = await server.clone();
  one = await startTestInstance(connection);
  // The same first secrets: it is the same instance, on another machine.
  other = await startTestInstance(connection, undefined, one);
});
afterEach(async () => {
  await other.stop();
  await one.stop();
});

const complete = (instance: TestInstance, job: Job, executor: string) =>
  instance.executor(
    'runs/markComplete',
    { executorName: executor, jobId: job.id },
    jobHeaders(job, executor),
  );

describe('two replicas on one database', () => {
  test('are one queue: what is queued at one is leased at once at the other', async () => {
    const leasing = other.lease({ waitMs: 20_000 });
    await sleep(300); // it waits by now
    const at = performance.now();
    const { id } = await one.run();
    expect((await leasing)?.id).toBe(id);
    // Told by a notification: asking again by itself would take up to a second.
    expect(performance.now() - at).toBeLessThan(900);
  });

  test('know the same tokens, leases and logs', async () => {
    const { id } = await one.run();
    const job = await one.lease();
    if (!job) throw new Error('no job was leased');
    const headers = jobHeaders(job);
    const entry = {
      key: 'step.docker.0',
      command: [],
      startTime: '2026-11-25T12:00:00Z',
      out: 'stdout: here\n',
    };
    const body = { executorName: 'e1', jobId: id };
    const written = await other.executor('runs/addExecutionLogEntry', { ...body, ...entry }, headers);
    expect(await written.json()).toBe(1);
    const followed = one.api('GET', `/api/jobs/${id}/events`).then((answer) => answer.text());
    expect((await complete(other, job, 'e1')).status).toBe(204);
    expect(await followed).toContain(Buffer.from('stdout: here\n').toString('base64'));
    expect((await complete(one, job, 'e1')).status).toBe(401);
  });

  test('go on by themselves when PostgreSQL ends their connections, again and again', async () => {
    const admin = connect(connection, { connections: 1 });
    const ids = new Set<number>();
    for (let n = 0; n < 20; n += 1) ids.add((await one.run()).id);
    let ended = 0;
    let working = true;
    const ending = (async () => {
      while (working) {
        const { rows } = await sql`
          select pg_terminate_backend(pid) from pg_stat_activity
          where datname = current_database() and pid <> pg_backend_pid()
        `.execute(admin);
        ended += rows.length;
        await sleep(40);
      }
    })();
    const completed: number[] = [];
    const work = async (instance: TestInstance, executor: string) => {
      while (completed.length < ids.size) {
        const job = await instance.lease({ executor, waitMs: 100 }).catch(() => null);
        if (!job) continue;
        // A mark whose answer was lost may be repeated: 401 says that it counted.
        let status = 0;
        while (status !== 204 && status !== 401) {
          status = (await complete(instance, job, executor).catch(() => null))?.status ?? 0;
          if (status >= 500) await sleep(20);
        }
        completed.push(job.id);
      }
    };
    // A lease whose answer was lost runs out, and its job comes again.
    const impatient = (async () => {
      while (completed.length < ids.size) {
        await sleep(500);
        await sql`
          update jobs set lease_expires_at = clock_timestamp() - interval '1 minute'
          where state = 'processing' and started_at < clock_timestamp() - interval '3 seconds'
        `
          .execute(admin)
          .catch(() => {});
      }
    })();
    await Promise.all([work(one, 'e1'), work(other, 'e2'), impatient]);
    working = false;
    await ending;
    await admin.destroy();
    expect(ended).toBeGreaterThan(10);
    for (const id of ids) {
      const record = jobRecordSchema.parse(await (await one.api('GET', `/api/jobs/${id}`)).json());
      expect(record.state).toBe('completed');
    }
    expect(new Set(completed)).toEqual(ids);
  });
});
