import {
  type CredentialRecord,
  credentialsSchema,
  type CreateCredential,
  type DequeueRequest,
  type HeartbeatRequest,
  type Job,
  type MadeCredential,
  madeCredentialSchema,
} from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { lockLeasedJob } from '../queue/sql/fence.ts';
import { nativeOffer } from '../testing/executor-client.ts';
import { extendLease, startTestInstance, type TestInstance } from '../testing/instance.ts';
import { acceptFirstSecrets } from './first-secrets.ts';
import { newSecret, secretHash } from './secret.ts';

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

const path = '/api/access/executor-credentials';
const create = (request: CreateCredential) => instance.api('POST', path, request);
async function credentialIn(answer: Promise<Response>): Promise<MadeCredential> {
  const response = await answer;
  expect(response.status).toBe(201);
  return madeCredentialSchema.parse(await response.json());
}
const rotate = (id: number, body: object = {}) =>
  credentialIn(instance.api('POST', `${path}/${id}/rotate`, body));
const revoke = (id: number, query = '') => instance.api('POST', `${path}/${id}/revoke${query}`);
const listCredentials = async (): Promise<CredentialRecord[]> =>
  credentialsSchema.parse(await (await instance.api('GET', path)).json()).credentials;

const dequeue = (credential: string, request: Partial<DequeueRequest> = {}, queue?: string) =>
  instance.executor({ credential }).dequeue({ queues: ['runs'], ...request }, { ...(queue && { queue }) });
const heartbeat = (credential: string, request: Partial<HeartbeatRequest> = {}, queue?: string) =>
  instance.executor({ credential }).heartbeat({ queueNames: ['runs'], ...request }, queue);

describe('a credential', () => {
  test('has a name and a secret, which is shown once and stored as its hash', async () => {
    const one = await credentialIn(create({ name: 'one', queues: ['runs'] }));
    const two = await credentialIn(create({ name: 'two', queues: ['codeintel'] }));
    expect((await listCredentials()).map(({ name, queues }) => [name, queues])).toEqual([
      ['first', ['codeintel', 'batches', 'runs']],
      ['one', ['runs']],
      ['two', ['codeintel']],
    ]);
    expect((await dequeue(one.secret)).status).toBe(204);
    expect((await dequeue(two.secret, { executorName: 'e2', queues: ['codeintel'] })).status).toBe(204);
    const { rows } = await sql<{ all: string }>`
      select (select jsonb_agg(c)::text from executor_credentials c) || (select jsonb_agg(s)::text from executor_secrets s) as all
    `.execute(instance.db);
    for (const { secret } of [one, two]) {
      expect(rows[0]?.all).not.toContain(secret);
      expect(rows[0]?.all).toContain(secretHash(secret).toString('hex'));
    }
  });

  test('cannot have the name of another valid credential', async () => {
    const { id } = await credentialIn(create({ name: 'one', queues: [] }));
    expect((await create({ name: 'one', queues: [] })).status).toBe(409);
    await revoke(id);
    expect((await create({ name: 'one', queues: [] })).status).toBe(201);
  });

  test.each<[string, (secret: string) => Promise<Response>]>([
    ['the route of all queues', (secret) => dequeue(secret, { queues: ['runs', 'codeintel'] })],
    ['the route of one', (secret) => dequeue(secret, {}, 'codeintel')],
    ['a heartbeat for all queues', (secret) => heartbeat(secret, { queueNames: ['runs', 'codeintel'] })],
    [
      'a heartbeat for jobs',
      (secret) => heartbeat(secret, { jobIdsByQueue: [{ queueName: 'codeintel', jobIds: [] }] }),
    ],
    ['a heartbeat for one', (secret) => heartbeat(secret, {}, 'codeintel')],
  ])('is refused for a queue outside its scope: %s', async (_, ask) => {
    const { secret } = await credentialIn(create({ name: 'one', queues: ['runs'] }));
    const answer = await ask(secret);
    expect(answer.status).toBe(403);
    expect(await answer.text()).toBe(
      'the credential one is not valid for codeintel (it is valid for runs): configure other queues for this executor, or use a credential that is valid for them',
    );
    const { rows } = await sql`select from executors`.execute(instance.db);
    expect(rows).toEqual([]);
  });

  test('without a queue cannot lease', async () => {
    const { secret } = await credentialIn(create({ name: 'one', queues: [] }));
    expect(await (await dequeue(secret)).text()).toContain('(it is valid for no queue)');
    expect((await dequeue(secret, { queues: [] })).status).toBe(204);
  });

  test('is refused after its expiry', async () => {
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    const { id, secret } = await credentialIn(create({ name: 'one', queues: ['runs'], expiresAt }));
    expect((await dequeue(secret)).status).toBe(204);
    await sql`update executor_credentials set expires_at = clock_timestamp() where id = ${id}`.execute(
      instance.db,
    );
    expect((await dequeue(secret)).status).toBe(401);
  });
});

describe('a rotation', () => {
  test('makes a second secret valid beside the first until the overlap ends; the executor keeps its name', async () => {
    const { id, secret } = await credentialIn(create({ name: 'one', queues: ['runs'] }));
    expect((await dequeue(secret)).status).toBe(204);
    const next = await rotate(id, { overlapMs: 60_000 });
    expect(next.secrets).toMatchObject([
      { endsAt: null, lastUsedAt: null },
      { endsAt: expect.any(String), lastUsedAt: expect.any(String) },
    ]);
    for (const one of [secret, next.secret, secret]) {
      expect((await dequeue(one)).status).toBe(204);
      expect((await heartbeat(one)).status).toBe(200);
    }
    await sql`update executor_secrets set ends_at = clock_timestamp() where ends_at is not null`.execute(
      instance.db,
    );
    expect((await dequeue(secret)).status).toBe(401);
    expect((await dequeue(next.secret)).status).toBe(204);
    expect((await listCredentials()).find(({ name }) => name === 'one')?.secrets).toHaveLength(1);
  });

  test('lets the new secret renew a lease that was taken with the old one', async () => {
    const { id, secret } = await credentialIn(create({ name: 'one', queues: ['runs'] }));
    const job = await lease(secret);
    const next = await rotate(id);
    const jobIdsByQueue = [{ queueName: 'runs' as const, jobIds: [job.id] }];
    expect(await (await heartbeat(next.secret, { jobIdsByQueue })).json()).toMatchObject({
      knownIds: [`${job.id}-runs`],
    });
    expect((await write(job)).status).toBe(200);
  });

  test('without an overlap invalidates the first secret at once', async () => {
    const { id, secret } = await credentialIn(create({ name: 'one', queues: ['runs'] }));
    const next = await rotate(id, { overlapMs: 0 });
    expect((await dequeue(secret)).status).toBe(401);
    expect((await dequeue(next.secret)).status).toBe(204);
  });

  test('is over when the replaced secrets are revoked, and another rotation does not prolong it', async () => {
    const { id, secret } = await credentialIn(create({ name: 'one', queues: ['runs'] }));
    const second = await rotate(id, { overlapMs: 60_000 });
    const firstEnd = second.secrets[1]?.endsAt;
    const third = await rotate(id, { overlapMs: 86_400_000 });
    expect(third.secrets[2]?.endsAt).toBe(firstEnd);
    expect((await revoke(id, '?replaced=true')).status).toBe(204);
    expect((await dequeue(secret)).status).toBe(401);
    expect((await dequeue(second.secret)).status).toBe(401);
    expect((await dequeue(third.secret)).status).toBe(204);
  });

  test('of a missing or revoked credential is refused', async () => {
    const { id } = await credentialIn(create({ name: 'one', queues: [] }));
    await revoke(id);
    for (const one of [id, 4711])
      for (const operation of ['rotate', 'revoke', 'revoke?replaced=true']) {
        const answer = await instance.api('POST', `${path}/${one}/${operation}`, {});
        expect(answer.status).toBe(404);
      }
  });
});

/** Makes a job of the queue `runs` and leases it for `e1` under this secret, for longer than the test takes. */
async function lease(secret: string): Promise<Job> {
  await instance.run();
  const job = await instance.executor({ credential: secret }).lease();
  if (!job) throw new Error('no job was leased');
  await extendLease(instance, job);
  return job;
}
/** Writes a log entry under the job's token. */
const write = (job: Job) =>
  instance.executor().job(job).addEntry({ key: 'step', command: [], startTime: '2026-01-02T03:04:05Z' });

describe('a revoked credential', () => {
  let credential: MadeCredential;
  let job: Job;

  beforeEach(async () => {
    credential = await credentialIn(create({ name: 'one', queues: ['runs'] }));
    job = await lease(credential.secret);
    expect((await write(job)).status).toBe(200);
    expect((await revoke(credential.id)).status).toBe(204);
  });

  test('cannot lease or renew, with any of its secrets', async () => {
    expect((await dequeue(credential.secret)).status).toBe(401);
    expect((await heartbeat(credential.secret)).status).toBe(401);
  });

  test('invalidates the job tokens of its executors at once', async () => {
    expect((await write(job)).status).toBe(401);
    const held = {
      jobId: job.id,
      attempt: 1,
      executor: 'e1',
      queue: 'runs',
      repository: '',
      commit: '',
    } as const;
    expect(await lockLeasedJob(instance.db, held)).toBeUndefined();
  });

  test('keeps the name of an executor until its leases have ended, so that its job tokens stay dead', async () => {
    const other = await credentialIn(create({ name: 'two', queues: ['runs'] }));
    const refused = await dequeue(other.secret);
    expect(refused.status).toBe(403);
    expect((await write(job)).status).toBe(401);
    await sql`update jobs set lease_expires_at = clock_timestamp() - interval '1 minute'`.execute(
      instance.db,
    );
    await expect.poll(async () => (await dequeue(other.secret)).status, { timeout: 20_000 }).not.toBe(403);
    expect((await write(job)).status).toBe(401);
  });
});

test('a held request for a job is refused when its credential is revoked', async () => {
  const { id, secret } = await credentialIn(create({ name: 'one', queues: ['runs'] }));
  const held = dequeue(secret, { fumehood: nativeOffer({ waitMs: 30_000 }) });
  const known = async () => (await sql`select from executors`.execute(instance.db)).rows.length;
  await expect.poll(known, { timeout: 20_000 }).toBe(1);
  await revoke(id);
  await instance.run();
  expect((await held).status).toBe(401);
  const { rows } = await sql`select from jobs where state = 'queued'`.execute(instance.db);
  expect(rows).toHaveLength(1);
});

describe('the first credential', () => {
  const accept = (secret: string) =>
    acceptFirstSecrets(instance.db, {
      accessTokenSha256: secretHash(instance.accessToken),
      executorCredentialSha256: secretHash(secret),
    });

  test('stays rotated when the instance restarts with the old secret', async () => {
    const [first] = await listCredentials();
    const next = await rotate(first?.id ?? 0, { overlapMs: 0 });
    await accept(instance.credential);
    expect((await dequeue(instance.credential)).status).toBe(401);
    expect((await dequeue(next.secret)).status).toBe(204);
  });

  test('stays revoked', async () => {
    const [first] = await listCredentials();
    await revoke(first?.id ?? 0);
    await accept(instance.credential);
    expect((await dequeue(instance.credential)).status).toBe(500);
  });

  test('gets a new secret when its file was lost, and the old one becomes invalid', async () => {
    const secret = newSecret();
    await accept(secret);
    expect((await dequeue(instance.credential)).status).toBe(401);
    expect((await dequeue(secret)).status).toBe(204);
  });
});
