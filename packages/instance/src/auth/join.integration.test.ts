import {
  type JoinedExecutor,
  joinedExecutorSchema,
  type JoinToken,
  joinTokenSchema,
} from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { startTestInstance, type TestInstance } from '../testing/instance.ts';

let server: TestServer;
let instance: TestInstance;

beforeAll(() => {
  server = openTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  instance = await startTestInstance(await server.clone());
  return () => instance.stop();
});

async function add(body: object): Promise<JoinToken> {
  const answer = await instance.api('POST', '/api/access/join-tokens', body);
  expect(answer.status).toBe(201);
  return joinTokenSchema.parse(await answer.json());
}
const post = (path: string, authorization: string) =>
  fetch(`${instance.url}${path}`, { method: 'POST', headers: { authorization } });
const join = (token: string) => post('/.executors/join', `token-join ${token}`);
async function joined(token: string): Promise<JoinedExecutor> {
  const answer = await join(token);
  expect(answer.status).toBe(200);
  expect(answer.headers.get('cache-control')).toBe('no-store');
  return joinedExecutorSchema.parse(await answer.json());
}
const leaseStatus = async (credential: string) =>
  (await instance.executor({ credential }).dequeue({ queues: ['runs'], executorName: 'lab-1' })).status;

describe('a join token', () => {
  test('gives one executor a credential for its queues, once', async () => {
    const { token, expiresAt } = await add({ name: 'lab-1', queues: ['runs', 'runs'], labels: ['gpu'] });
    expect(Date.parse(expiresAt) - Date.now()).toBeGreaterThan(3_500_000);
    const { credential, ...executor } = await joined(token);
    expect(executor).toEqual({ name: 'lab-1', queues: ['runs'], labels: ['gpu'] });
    expect(await leaseStatus(credential)).toBe(204);
    expect((await join(token)).status).toBe(401);
  });

  test('that two executors use at the same time is good for one of them', async () => {
    const { token } = await add({ name: 'lab-1' });
    const answers = await Promise.all(Array.from({ length: 8 }, () => join(token)));
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([
      200,
      ...Array<number>(7).fill(401),
    ]);
  });

  test('ends after an hour, and when another one is made for the same name', async () => {
    const first = await add({ name: 'lab-1' });
    const second = await add({ name: 'lab-1' });
    expect((await join(first.token)).status).toBe(401);
    await sql`update join_tokens set expires_at = clock_timestamp() - interval '1 s'`.execute(instance.db);
    const late = await join(second.token);
    expect(late.status).toBe(401);
    expect(await late.text()).toContain('the join token is not valid');
  });

  test('is not made for the name of an executor that has joined', async () => {
    await joined((await add({ name: 'lab-1' })).token);
    const again = await instance.api('POST', '/api/access/join-tokens', { name: 'lab-1' });
    expect(again.status).toBe(409);
  });

  test('is no other secret, and no other secret is one', async () => {
    const { token } = await add({ name: 'lab-1' });
    expect(await leaseStatus(token)).toBe(401);
    expect((await post('/.executors/join', `token ${token}`)).status).toBe(401);
    const { credential } = await joined(token);
    expect((await join(credential)).status).toBe(401);
  });
});

test('an executor that leaves revokes its credential, and its name can join again', async () => {
  const { credential } = await joined((await add({ name: 'lab-1' })).token);
  expect((await post('/.executors/leave', `token-executor ${credential}`)).status).toBe(204);
  expect(await leaseStatus(credential)).toBe(401);
  await joined((await add({ name: 'lab-1' })).token);
});
