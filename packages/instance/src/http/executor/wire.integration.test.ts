import { madeCredentialSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../../db/testing.ts';
import { startTestInstance, type TestInstance } from '../../testing/instance.ts';

/** Leases with the native extension and without it. The tests in `conformance/` cover the rest of upstream's wire. */
let server: TestServer;
let instance: TestInstance;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  instance = await startTestInstance(await server.clone());
  return () => instance.stop();
});

describe('a dequeue', () => {
  const ask = (body: object, path = 'dequeue') => instance.executor(path, body);

  test('without the native extension gets no job that needs it, and other jobs without their native part', async () => {
    await instance.run({ accept: ['container'] });
    const upstream = { executorName: 'up', version: '5.3.0', queues: ['runs'] };
    expect((await ask(upstream)).status).toBe(204);
    await sql`update lines set needs_native = false`.execute(instance.db);
    const answer = await ask(upstream);
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
    const held = fetch(`${instance.url}/.executors/queue/dequeue`, {
      method: 'POST',
      signal: gone.signal,
      headers: { authorization: `token-executor ${instance.credential}`, 'x-fumehood-protocol': '1' },
      body: JSON.stringify({
        executorName: 'e1',
        queues: ['runs'],
        fumehood: {
          tiers: ['vm-emulated'],
          arch: 'x64',
          total: { cpus: 1, memoryMiB: 1024, scratchMiB: 4096 },
          freeCpus: 1,
          freeMemoryMiB: 1024,
          freeScratchMiB: 4096,
          waitMs: 60_000,
        },
      }),
    });
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
    const answer = await instance.executor(
      'dequeue',
      { executorName: 'e1', queues: ['runs'] },
      { authorization: `token-executor ${secret}` },
    );
    expect(answer.status).toBe(403);
  });
});
