import { createTokenSchema, madeTokenSchema } from '@fumehood/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../../db/testing.ts';
import { startTestInstance, type TestInstance } from '../../testing/instance.ts';

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

const path = '/api/network/ceilings';
const set = (body: object) => instance.api('PUT', path, body);
const remove = (query: string) => instance.api('DELETE', `${path}?${query}`);
const listed = async () =>
  ((await (await instance.api('GET', path)).json()) as { ceilings: object[] }).ceilings;
const allow = (...names: string[]) => ({
  mode: 'allow',
  hosts: names.map((name) => ({ name, ports: [443] })),
});

test('a job is narrowed by the ceilings of its queue and its tenant, and its record says by which', async () => {
  expect((await set({ queue: 'runs', policy: { mode: 'public' } })).status).toBe(200);
  expect((await set({ queue: 'runs', policy: allow('*.test') })).status).toBe(200);
  expect((await set({ tenant: 'somebody-else', policy: { mode: 'none' } })).status).toBe(200);
  const ofQueue = { queue: 'runs', tenant: null, policy: allow('*.test') };
  expect(await listed()).toEqual([
    expect.objectContaining(ofQueue),
    expect.objectContaining({ queue: null, tenant: 'somebody-else', policy: { mode: 'none' } }),
  ]);
  const asked = allow('a.test', 'b.example');
  const { id, tenant } = await instance.run({ network: asked });
  const lease = await instance.lease();
  expect(lease?.fumehood?.network).toEqual(allow('a.test'));
  const read = async () => await (await instance.api('GET', `/api/jobs/${id}`)).json();
  const network = { asked, applied: allow('a.test'), narrowedBy: [ofQueue], broker: [] };
  expect(await read()).toMatchObject({ network });

  // A later ceiling changes nothing of the attempt, and narrows the next one.
  expect((await set({ queue: 'runs', tenant, policy: { mode: 'none' } })).status).toBe(200);
  expect(await read()).toMatchObject({ network });
  const next = await instance.run({ network: asked });
  const held = await instance.executor({ name: 'without' }).lease({ network: false });
  expect([held?.id, held?.fumehood?.network]).toEqual([next.id, { mode: 'none' }]);

  for (const query of ['queue=runs', `queue=runs&tenant=${tenant}`, 'tenant=somebody-else'])
    expect((await remove(query)).status).toBe(204);
  expect(await listed()).toEqual([]);
});

test('a ceiling that is none, or for nobody, is refused, and so is who is no admin', async () => {
  const refused: [object, number][] = [
    [{ queue: 'runs', policy: { mode: 'learn' } }, 400],
    [{ queue: 'runs', policy: { mode: 'allow', hosts: [{ name: '10.0.0.1', ports: null }] } }, 400],
    [{ queue: 'nothing', policy: { mode: 'none' } }, 400],
    [{ tenant: '', policy: { mode: 'none' } }, 400],
  ];
  for (const [body, status] of refused) expect((await set(body)).status).toBe(status);
  expect((await remove('queue=runs')).status).toBe(404);
  const scopes = ['jobs:read', 'jobs:write', 'code:read', 'code:write', 'tokens'] as const;
  const request = createTokenSchema.parse({ name: 'no-admin', scopes: [...scopes] });
  const made = await instance.api('POST', '/api/access/tokens', request);
  const { secret } = madeTokenSchema.parse(await made.json());
  for (const method of ['GET', 'PUT', 'DELETE']) {
    const answer = await fetch(`${instance.url}${path}`, {
      method,
      headers: { authorization: `token ${secret}`, 'content-type': 'application/json' },
      ...(method === 'PUT' && { body: JSON.stringify({ queue: 'runs', policy: { mode: 'none' } }) }),
    });
    expect(answer.status).toBe(403);
  }
});
