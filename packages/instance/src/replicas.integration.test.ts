import { setTimeout as sleep } from 'node:timers/promises';
import type { Job } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Connection } from './config.ts';
import { connect } from './db/connect.ts';
import { openTestServer, type TestServer } from './db/testing.ts';
import { forgetLosses, startTestInstance, type TestInstance } from './testing/instance.ts';

let server: TestServer;
let connection: Connection;
let one: TestInstance;
let other: TestInstance;

beforeAll(async () => {
  server = openTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  connection = await server.clone();
  one = await startTestInstance(connection);
  // A replica has the same first secrets.
  other = await startTestInstance(connection, { accessToken: one.accessToken, credential: one.credential });
});
afterEach(async () => {
  await other.stop();
  await one.stop();
});

const complete = (instance: TestInstance, job: Job, executor: string) =>
  instance.executor({ name: executor }).job(job).complete();

describe('two replicas on one database', () => {
  test('share one queue: a job that one gets is leased at once at the other', async () => {
    const leasing = other.lease({ waitMs: 20_000 });
    await sleep(300); // the instance holds the request by now
    const { id } = await one.run();
    expect((await leasing)?.id).toBe(id);
  });

  test('share tokens, leases and logs', async () => {
    const { id } = await one.run();
    const job = await one.lease();
    if (!job) throw new Error('no job was leased');
    const entry = {
      key: 'step.docker.0',
      command: [],
      startTime: '2026-11-25T12:00:00Z',
      out: 'stdout: here\n',
    };
    const written = await other.executor().job(job).addEntry(entry);
    expect(await written.json()).toBe(1);
    const followed = one.api('GET', `/api/jobs/${id}/events`).then((answer) => answer.text());
    expect((await complete(other, job, 'e1')).status).toBe(204);
    expect(await followed).toContain(Buffer.from('stdout: here\n').toString('base64'));
    expect((await complete(one, job, 'e1')).status).toBe(401);
  });

  test('recover by themselves whenever PostgreSQL ends their connections', async () => {
    const admin = connect(connection, { connections: 1 });
    for (let n = 0; n < 20; n += 1) await one.run({ maxResets: 20 });
    let ended = 0;
    const done = new AbortController();
    const working = () => !done.signal.aborted;
    const ending = (async () => {
      while (working()) {
        const { rows } = await sql`
          select pg_terminate_backend(pid) from pg_stat_activity
          where datname = current_database() and pid <> pg_backend_pid()
        `.execute(admin);
        ended += rows.length;
        await sleep(40);
      }
    })();
    const insist = async (ask: () => Promise<Response>) => {
      while (working()) {
        const answer = await ask().catch(() => null);
        if (answer && answer.status < 500) return;
        await sleep(20);
      }
    };
    const work = async (instance: TestInstance, executor: string) => {
      while (working()) {
        const job = await instance.lease({ executor, waitMs: 100 }).catch(() => null);
        // A mark whose answer was lost is repeated. The answer is 401 when the first mark was stored, or the lease has run out.
        if (job) await insist(() => complete(instance, job, executor));
      }
    };
    // A lease whose answer was lost runs out, and its job is leased again.
    const impatient = (async () => {
      while (working()) {
        await sleep(500);
        await sql`
          update jobs set lease_expires_at = clock_timestamp() - interval '1 minute'
          where state = 'processing' and started_at < clock_timestamp() - interval '3 seconds'
        `
          .execute(admin)
          .catch(() => {});
        await forgetLosses({ db: admin }).catch(() => {});
      }
    })();
    const everybody = [work(one, 'e1'), work(other, 'e2'), impatient, ending];
    const states = async () => {
      const { rows } = await sql<{ state: string }>`select distinct state from jobs`.execute(admin);
      return rows.map((row) => row.state);
    };
    await expect.poll(states, { timeout: 90_000 }).toEqual(['completed']);
    done.abort();
    await Promise.all(everybody);
    const { rows } = await sql`
      select from attempts where outcome = 'completed' group by job_id having count(*) = 1
    `.execute(admin);
    await admin.destroy();
    expect(rows).toHaveLength(20);
    expect(ended).toBeGreaterThan(10);
  });
});
