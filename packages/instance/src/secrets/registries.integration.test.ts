import { join } from 'node:path';
import { createTokenSchema, type Job, jobSchema, madeTokenSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Connection } from '../config.ts';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { addIndexing, indexer } from '../http/executor/conformance/upstream.ts';
import { nativeOffer } from '../testing/executor-client.ts';
import { startTestInstance, type TestInstance } from '../testing/instance.ts';
import { readSecretsKey } from './key.ts';
import { countOfOtherKey } from './other-key.ts';
import { openVault } from './vault.ts';

const password = 'correct-horse-battery';
const worker = { username: 'worker', password };
const auth = Buffer.from(`worker:${password}`).toString('base64');
const host = 'registry.test:5000';

let server: TestServer;
let connection: Connection;
let instance: TestInstance;
beforeAll(async () => {
  server = openTestServer();
  connection = await server.clone();
  instance = await startTestInstance(connection);
});
afterAll(async () => {
  await instance.stop();
  await server.stop();
});
beforeEach(async () => {
  await sql`delete from registry_credentials`.execute(instance.db);
});

const set = (of: string, body: object = worker) => instance.api('PUT', `/api/registries/${of}`, body);
const handedFor = async (image: string) => {
  await instance.run({ image });
  const job = (await instance.lease()) as Job;
  await instance.executor().job(job).complete();
  return job.dockerAuthConfig;
};

describe('the credential for a registry', () => {
  test('is shown without its password, and stored without it', async () => {
    const made = await (await set('Registry.test:5000', { ...worker, queues: ['runs'] })).json();
    expect(made).toEqual({ host, username: 'worker', queues: ['runs'], createdAt: expect.any(String) });
    const listed = await (await instance.api('GET', '/api/registries')).text();
    expect(JSON.parse(listed)).toEqual({ registries: [made] });
    const { rows } = await sql<{ password: Buffer }>`select * from registry_credentials`.execute(instance.db);
    for (const text of [listed, JSON.stringify(rows), rows[0]?.password.toString('latin1')])
      expect(text).not.toContain(password);
  });

  test('goes with a job whose image is there, and no other one does', async () => {
    await set(host);
    await set('other.test', { username: 'other', password: 'other-password' });
    expect(await handedFor(`${host}/tool:1`)).toEqual({ auths: { [host]: { auth } } });
    expect(await handedFor('third.test/tool:1')).toEqual({});
    expect(await handedFor(await instance.image())).toEqual({});
  });

  test('for Docker Hub has the name that clients look it up by', async () => {
    await set('docker.io');
    expect(await handedFor('debian:12')).toEqual({ auths: { 'https://index.docker.io/v1/': { auth } } });
  });

  test('goes to no job of another queue', async () => {
    await set(host, { ...worker, queues: ['codeintel'] });
    expect(await handedFor(`${host}/tool:1`)).toEqual({});
  });

  test('goes to an executor of upstream’s kind in the form that it knows', async () => {
    await set(host);
    await addIndexing(instance, { indexer: { ...indexer, image: `${host}/indexer:1` } });
    const body = { version: '5.3.0', queues: ['codeintel' as const] };
    const answer = await instance.executor({ name: 'up', protocol: null }).dequeue(body);
    expect(jobSchema.parse(await answer.json()).dockerAuthConfig).toEqual({ auths: { [host]: { auth } } });
  });

  test('is replaced, and goes to no job any more once it is removed', async () => {
    await set(host);
    await set(host, { username: 'new', password: 'new-password' });
    const changed = Buffer.from('new:new-password').toString('base64');
    expect(await handedFor(`${host}/tool:1`)).toEqual({ auths: { [host]: { auth: changed } } });
    expect((await instance.api('DELETE', `/api/registries/${host}`)).status).toBe(204);
    expect(await handedFor(`${host}/tool:1`)).toEqual({});
    expect((await instance.api('DELETE', `/api/registries/${host}`)).status).toBe(404);
  });

  test('that was changed in the database fails the job, which says whose password it is', async () => {
    await set(host, { ...worker, queues: ['codeintel'] });
    await sql`update registry_credentials set queues = null`.execute(instance.db);
    const { id } = await instance.run({ image: `${host}/tool:1` });
    const answer = await instance.executor().dequeue({ queues: ['runs'], fumehood: nativeOffer() });
    expect(answer.status).toBe(500);
    expect(await (await instance.api('GET', `/api/jobs/${id}`)).json()).toMatchObject({
      state: 'failed',
      failure: {
        reason: 'record_invalid',
        message: expect.stringMatching(/the password for registry\.test:5000 cannot be decrypted/),
      },
    });
  });

  test('is not read by an instance with another key, which names both keys', async () => {
    await set(host);
    const keyOf = (of: TestInstance) => readSecretsKey(join(of.directory, 'run/secrets-key'));
    expect(await countOfOtherKey(instance.db, openVault(await keyOf(instance)))).toBe(0);
    const other = await startTestInstance(connection, {
      accessToken: instance.accessToken,
      credential: instance.credential,
    });
    try {
      // It says so in its log when it starts.
      expect(await countOfOtherKey(other.db, openVault(await keyOf(other)))).toBe(1);
      const { id } = await other.run({ image: `${host}/tool:1` });
      await other.executor().dequeue({ queues: ['runs'], fumehood: nativeOffer() });
      expect(await (await other.api('GET', `/api/jobs/${id}`)).json()).toMatchObject({
        failure: { message: expect.stringMatching(/was encrypted with the key \w{16}, and .* \w{16}$/) },
      });
    } finally {
      await other.stop();
    }
  });

  test('is managed by admins alone', async () => {
    await instance.api('POST', '/api/access/users', { name: 'ann' });
    const body = createTokenSchema.parse({ name: 'all', user: 'ann', scopes: ['jobs:write', 'tokens'] });
    const { secret } = madeTokenSchema.parse(
      await (await instance.api('POST', '/api/access/tokens', body)).json(),
    );
    const asAnn = { authorization: `token ${secret}` };
    for (const [method, path] of [
      ['GET', '/api/registries'],
      ['PUT', `/api/registries/${host}`],
      ['DELETE', `/api/registries/${host}`],
    ] as const)
      expect((await instance.api(method, path, method === 'PUT' ? worker : undefined, asAnn)).status).toBe(
        403,
      );
  });

  test.each([
    ['a user with a colon', host, { ...worker, username: 'a:b' }],
    ['a password with a line break', host, { ...worker, password: 'a\nb' }],
    ['an empty password', host, { ...worker, password: '' }],
    ['no queue', host, { ...worker, queues: [] }],
    ['a path', 'registry.test%2Fpath', worker],
    ['a name that is no host', 'library', worker],
  ])('with %s is refused', async (_what, of, body) => {
    expect((await set(of, body)).status).toBe(400);
  });
});
