import { madeCredentialSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../../db/testing.ts';
import { startTestInstance, type TestInstance } from '../../testing/instance.ts';

/** Leases with the native extension and without it. The tests in `conformance/` cover the rest of upstream's wire. */
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

describe('a dequeue', () => {
  test('without the native extension gets no job that needs it, and other jobs without their native part', async () => {
    await instance.run({ accept: ['container'] });
    const upstream = instance.executor({ name: 'up' });
    const ask = () => upstream.dequeue({ version: '5.3.0', queues: ['runs'] });
    expect((await ask()).status).toBe(204);
    await sql`update lines set needs_native = false, needs_version = 0, egress = 'public'`.execute(
      instance.db,
    );
    const answer = await ask();
    expect(answer.status).toBe(200);
    expect(await answer.json()).not.toHaveProperty('fumehood');
    const { rows } = await sql`select lease_ms from jobs`.execute(instance.db);
    expect(rows).toEqual([{ lease_ms: 25_000 }]);
  });

  test('is held until a job comes', async () => {
    const held = instance.lease({ waitMs: 10_000 });
    await new Promise((resolve) => setTimeout(resolve, 300));
    const { id } = await instance.run();
    expect((await held)?.id).toBe(id);
  });

  test('leases nothing when the executor is gone before a job comes', async () => {
    const gone = new AbortController();
    const held = instance.executor().lease({ waitMs: 60_000, signal: gone.signal });
    setTimeout(() => gone.abort(), 200);
    await expect(held).rejects.toThrow();
    await new Promise((resolve) => setTimeout(resolve, 100));
    const { id } = await instance.run();
    await new Promise((resolve) => setTimeout(resolve, 1_300));
    expect(await (await instance.api('GET', `/api/jobs/${id}`)).json()).toMatchObject({ state: 'queued' });
  });

  test('is refused under a name that another credential uses', async () => {
    await instance.lease();
    const newCredential = { name: 'second', queues: ['runs'] };
    const second = await instance.api('POST', '/api/access/executor-credentials', newCredential);
    const { secret } = madeCredentialSchema.parse(await second.json());
    const answer = await instance.executor({ credential: secret }).dequeue({ queues: ['runs'] });
    expect(answer.status).toBe(403);
  });
});
