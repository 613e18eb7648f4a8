import { createTokenSchema, type Job, madeCredentialSchema, madeTokenSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { addIndexing, indexer } from '../http/executor/conformance/upstream.ts';
import { nativeOffer } from '../testing/executor-client.ts';
import { startTestInstance, type TestInstance } from '../testing/instance.ts';
import { countOfOtherKey } from './other-key.ts';
import { openVault } from './vault.ts';

const secret = 'correct-horse-battery';
const npm = { kind: 'npm', url: 'https://registry.test/npm', username: 'worker', secret };

let server: TestServer;
let instance: TestInstance;
beforeAll(async () => {
  server = openTestServer();
  instance = await startTestInstance(await server.clone());
});
afterAll(async () => {
  await instance.stop();
  await server.stop();
});
beforeEach(async () => {
  await sql`delete from broker_entries`.execute(instance.db);
});

const set = (name: string, body: object = npm) => instance.api('PUT', `/api/broker/${name}`, body);
/** Makes a run, leases it, and returns what it has of the broker. */
const handedFor = async (broker: string[]) => {
  await instance.run({ image: await instance.image(), broker });
  const job = (await instance.lease()) as Job;
  await instance.executor().job(job).complete();
  return job.fumehood?.broker;
};
const credential = {
  header: 'authorization',
  value: `Basic ${Buffer.from(`worker:${secret}`).toString('base64')}`,
};

describe('an entry of the broker', () => {
  test('is shown without its secret, and stored without it', async () => {
    const made = await (await set('npm', { ...npm, queues: ['runs'] })).json();
    expect(made).toEqual({
      ...{ name: 'npm', kind: 'npm', url: 'https://registry.test/npm/', hosts: [], methods: ['GET', 'HEAD'] },
      ...{ responseMaxMiB: 2048, username: 'worker', header: null, queues: ['runs'], repositories: null },
      createdAt: expect.any(String),
    });
    const listed = await (await instance.api('GET', '/api/broker')).text();
    expect(JSON.parse(listed)).toEqual({ entries: [made] });
    const { rows } = await sql<{ secret: Buffer }>`select * from broker_entries`.execute(instance.db);
    for (const text of [listed, JSON.stringify(rows), rows[0]?.secret.toString('latin1')])
      expect(text).not.toContain(secret);
    expect(await countOfOtherKey(instance.db, openVault(Buffer.alloc(32)))).toBe(1);
  });

  test('goes with a run that asks for it, and no other entry does', async () => {
    await set('npm');
    await set('api', { kind: 'http', url: 'https://api.test', header: 'X-Key', secret, methods: ['POST'] });
    await set('open', { kind: 'pypi', url: 'https://pypi.test/simple', hosts: ['https://files.test/'] });
    expect(await handedFor(['npm'])).toMatchObject([
      { name: 'npm', url: 'https://registry.test/npm/', credential },
    ]);
    expect(await handedFor(['api', 'open'])).toMatchObject([
      { name: 'api', methods: ['POST'], credential: { header: 'x-key', value: secret } },
      { name: 'open', hosts: ['https://files.test'], credential: null },
    ]);
    expect(await handedFor([])).toBeUndefined();
  });

  test('of another queue or repository is refused when a run asks for it', async () => {
    await set('npm', { ...npm, queues: ['codeintel'] });
    await set('code', { ...npm, repositories: ['acme/one'] });
    const image = await instance.image();
    for (const name of ['npm', 'code', 'gone']) {
      const answer = await instance.api('POST', '/api/jobs', {
        queue: 'runs',
        image,
        argv: [],
        broker: [name],
      });
      expect(answer.status).toBe(404);
      expect(await answer.json()).toMatchObject({ error: { code: 'broker_not_found' } });
    }
  });

  test('that was removed after the run was made fails it', async () => {
    await set('npm');
    const { id } = await instance.run({ image: await instance.image(), broker: ['npm'] });
    expect((await instance.api('DELETE', '/api/broker/npm')).status).toBe(204);
    await instance.executor().dequeue({ queues: ['runs'], fumehood: nativeOffer() });
    expect(await (await instance.api('GET', `/api/jobs/${id}`)).json()).toMatchObject({
      state: 'failed',
      failure: { message: expect.stringContaining('the broker has no entry npm') },
    });
    expect((await instance.api('DELETE', '/api/broker/npm')).status).toBe(404);
  });

  test('that was changed in the database fails the job: its secret goes to no other server', async () => {
    await set('npm');
    await sql`update broker_entries set url = 'https://evil.test/'`.execute(instance.db);
    const { id } = await instance.run({ image: await instance.image(), broker: ['npm'] });
    await instance.executor().dequeue({ queues: ['runs'], fumehood: nativeOffer() });
    expect(await (await instance.api('GET', `/api/jobs/${id}`)).json()).toMatchObject({
      failure: { message: expect.stringMatching(/the secret of the broker's entry npm cannot be decrypted/) },
    });
  });

  test('goes to no executor of upstream’s kind, and to none whose credential was revoked', async () => {
    await set('npm');
    await addIndexing(instance, { indexer: { ...indexer, image: 'registry.test/indexer:1' } });
    const body = { version: '5.3.0', queues: ['codeintel' as const] };
    const answer = await instance.executor({ name: 'up', protocol: null }).dequeue(body);
    expect(answer.status).toBe(200);
    expect(await answer.text()).not.toContain('registry.test/npm');
    await instance.run({ image: await instance.image(), broker: ['npm'] });
    const made = madeCredentialSchema.parse(
      await (
        await instance.api('POST', '/api/access/executor-credentials', { name: 'gone', queues: ['runs'] })
      ).json(),
    );
    const revoke = `/api/access/executor-credentials/${made.id}/revoke`;
    expect((await instance.api('POST', revoke, {})).status).toBe(204);
    const revoked = instance.executor({ name: 'gone', credential: made.secret });
    expect((await revoked.dequeue({ queues: ['runs'], fumehood: nativeOffer() })).status).toBe(401);
    await instance.lease();
  });

  test('is managed by admins alone', async () => {
    await instance.api('POST', '/api/access/users', { name: 'ann' });
    const body = createTokenSchema.parse({ name: 'all', user: 'ann', scopes: ['jobs:write', 'tokens'] });
    const token = madeTokenSchema.parse(
      await (await instance.api('POST', '/api/access/tokens', body)).json(),
    );
    const asAnn = { authorization: `token ${token.secret}` };
    for (const [method, path] of [
      ['GET', '/api/broker'],
      ['PUT', '/api/broker/npm'],
      ['DELETE', '/api/broker/npm'],
    ] as const)
      expect((await instance.api(method, path, method === 'PUT' ? npm : undefined, asAnn)).status).toBe(403);
  });

  test.each([
    ['a name that is no label', 'a.b', npm],
    ['a secret that would cross the network in the open', 'npm', { ...npm, url: 'http://registry.test/' }],
    ['an address for a name', 'npm', { ...npm, url: 'https://10.0.0.1/' }],
    ['a user in the URL', 'npm', { ...npm, url: 'https://a:b@registry.test/' }],
    ['a query in the URL', 'npm', { ...npm, url: 'https://registry.test/?a' }],
    ['a secret for nothing', 'npm', { ...npm, username: null }],
    ['a user without a password', 'npm', { ...npm, secret: null }],
    ['a secret with a line break', 'npm', { ...npm, secret: 'a\nb' }],
    ['two credentials', 'npm', { ...npm, header: 'x-key' }],
    [
      'a field that frames the request',
      'npm',
      { kind: 'http', url: npm.url, header: 'Content-Length', secret },
    ],
    ['methods that its kind does not have', 'npm', { ...npm, methods: ['PUT'] }],
    ['a path of another host', 'npm', { ...npm, hosts: ['https://files.test/a'] }],
  ])('with %s is refused', async (_what, name, body) => {
    expect((await set(name, body)).status).toBe(400);
  });
});
