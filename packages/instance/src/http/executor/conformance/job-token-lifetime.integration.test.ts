import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { secretHash } from '../../../auth/secret.ts';
import { openTestServer, type TestServer } from '../../../db/testing.ts';
import { startTestInstance, type TestInstance } from '../../../testing/instance.ts';
import { addIndexing, answerOf, upstreamExecutor } from './upstream.ts';

/** Every lease makes a token of its own, which is valid until the lease ends. */
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

const entry = { key: 'k', command: [], startTime: '2023-01-02T03:04:15Z' };
const stored = async () =>
  (await sql<{ hash: Buffer | null }>`select token_sha256 as hash from jobs order by id`.execute(instance.db))
    .rows;

test('a token is 40 hexadecimal digits, and stored as its hash', async () => {
  const { token } = await executor.leased();
  expect(token).toMatch(/^[0-9a-f]{40}$/);
  expect(await stored()).toEqual([{ hash: secretHash(token) }]);
});

// Upstream's token names a job, a queue and a repository, none of which may be missing; ours belongs to a row that has them.
test('a leased job has one token, another job has none', async () => {
  await addIndexing(instance);
  await expect(sql`update jobs set token_sha256 = sha256('made up')`.execute(instance.db)).rejects.toThrow(
    'jobs_token',
  );
  await executor.dequeue('codeintel');
  await expect(sql`update jobs set token_sha256 = null`.execute(instance.db)).rejects.toThrow('jobs_token');
});

test('the next lease has another token, and the former one is refused', async () => {
  const first = await executor.leased();
  await sql`update jobs set lease_expires_at = clock_timestamp() - interval '1 minute'`.execute(instance.db);
  // Upstream accepts the former token until the job is leased again.
  expect((await answerOf(executor.onJob(first, 'addExecutionLogEntry', entry)))[0]).toBe(401);
  const again = async () => {
    await executor.beat();
    return (await executor.dequeue('codeintel')).status;
  };
  await expect.poll(again, { timeout: 20_000, interval: 200 }).toBe(200);
  expect((await answerOf(executor.onJob(first, 'addExecutionLogEntry', entry)))[0]).toBe(401);
  const [row] = await stored();
  expect(row?.hash).not.toBeNull();
  expect(row?.hash).not.toEqual(secretHash(first.token));
});

test.each(['zz', 'abc', 'é', '0'.repeat(40), '0'.repeat(10_000)])(
  'a malformed token is answered like an unknown one: %.10s',
  async (token) => {
    const job = await executor.leased();
    const text = Buffer.from(token).toString('latin1');
    const asked = executor.onJob({ ...job, token: text }, 'addExecutionLogEntry', entry);
    expect(await answerOf(asked)).toEqual([401, 'invalid token']);
  },
);

test('a mark ends the token, and a second mark changes nothing', async () => {
  const job = await executor.leased();
  expect((await answerOf(executor.onJob(job, 'markComplete')))[0]).toBe(204);
  expect(await stored()).toEqual([{ hash: null }]);
  expect((await answerOf(executor.onJob(job, 'markFailed', { errorMessage: 'no' })))[0]).toBe(401);
  const record = await (await instance.api('GET', `/api/jobs/${job.id}`)).json();
  expect(record).toMatchObject({ state: 'completed' });
});
