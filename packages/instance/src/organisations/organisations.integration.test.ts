import { join } from 'node:path';
import { createTokenSchema, madeTokenSchema, scopeSchema, secretsSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Person } from '../auth/people.ts';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { readSecretsKey } from '../secrets/key.ts';
import { secretsOf } from '../secrets/secrets.ts';
import { openVault } from '../secrets/vault.ts';
import { startTestInstance, type TestInstance } from '../testing/instance.ts';
import { requireNamespace, visibleNamespaces } from './namespaces.ts';

let server: TestServer;
let instance: TestInstance;
const tokens: Record<string, Record<string, string>> = {};
beforeAll(async () => {
  server = openTestServer();
  instance = await startTestInstance(await server.clone());
  for (const user of ['ann', 'bob']) {
    await instance.api('POST', '/api/access/users', { name: user });
    const scopes = scopeSchema.options.filter((scope) => scope !== 'admin');
    const body = createTokenSchema.parse({ name: 'all', user, scopes });
    const made = await (await instance.api('POST', '/api/access/tokens', body)).json();
    tokens[user] = { authorization: `token ${madeTokenSchema.parse(made).secret}` };
  }
});
afterAll(async () => {
  await instance.stop();
  await server.stop();
});
beforeEach(async () => {
  await sql`delete from secrets`.execute(instance.db);
  await sql`delete from organisations`.execute(instance.db);
  await asked('POST', '/api/organisations', { name: 'acme' });
  await asked('PUT', '/api/organisations/acme/members/ann');
});

/** Sends a request, of the admin if no user is named, and returns the status and the answer. */
async function asked(method: string, path: string, body?: object, user?: string): Promise<[number, unknown]> {
  const answer = await instance.api(method, path, body, user === undefined ? undefined : tokens[user]);
  const text = await answer.text();
  return [answer.status, text === '' ? null : JSON.parse(text)];
}
const refusal = (code: string) => ({ error: expect.objectContaining({ code }) });
async function personOf(name: string, admin = false): Promise<Person> {
  const { rows } = await sql<{ id: number }>`select id from users where name = ${name}`.execute(instance.db);
  return { userId: rows[0]?.id ?? 0, name, admin, scopes: [], token: { name: 'all', expiresAt: null } };
}

describe('an organisation', () => {
  const acme = { name: 'acme', members: ['ann'], createdAt: expect.any(String) };

  test('is seen by its members and by admins', async () => {
    await asked('POST', '/api/organisations', { name: 'lab' });
    const lab = { name: 'lab', members: [], createdAt: expect.any(String) };
    expect(await asked('GET', '/api/organisations')).toEqual([200, { organisations: [acme, lab] }]);
    expect(await asked('GET', '/api/organisations', undefined, 'ann')).toEqual([
      200,
      { organisations: [acme] },
    ]);
    expect(await asked('GET', '/api/organisations', undefined, 'bob')).toEqual([200, { organisations: [] }]);
  });

  test('is made, changed and removed by admins alone, once', async () => {
    for (const [method, path, body] of [
      ['POST', '/api/organisations', { name: 'bobs' }],
      ['PUT', '/api/organisations/acme/members/bob', undefined],
      ['DELETE', '/api/organisations/acme/members/ann', undefined],
      ['DELETE', '/api/organisations/acme', undefined],
    ] as const)
      expect((await asked(method, path, body, 'ann'))[0]).toBe(403);
    expect(await asked('POST', '/api/organisations', { name: 'acme' })).toEqual([409, refusal('name_taken')]);
    expect(await asked('PUT', '/api/organisations/acme/members/ann')).toEqual([200, acme]);
    expect(await asked('PUT', '/api/organisations/acme/members/zoe')).toEqual([
      404,
      refusal('user_not_found'),
    ]);
    const path = '/api/organisations/acme/members/ann';
    expect(await asked('DELETE', path)).toEqual([200, { ...acme, members: [] }]);
    expect(await asked('DELETE', path)).toEqual([404, refusal('member_not_found')]);
    expect(await asked('DELETE', '/api/organisations/acme')).toEqual([204, null]);
    expect(await asked('DELETE', '/api/organisations/acme')).toEqual([
      404,
      refusal('organisation_not_found'),
    ]);
  });

  test('with batch changes is not removed, and keeps its secrets', async () => {
    await asked('PUT', '/api/secrets/TOKEN?organisation=acme', { value: 'of-acme' });
    await sql`insert into batch_changes (namespace, name, creator) values ('org/acme', 'x', 'ann')`.execute(
      instance.db,
    );
    expect(await asked('DELETE', '/api/organisations/acme')).toEqual([409, refusal('organisation_in_use')]);
    expect(await sql`select from secrets`.execute(instance.db)).toMatchObject({ rows: [{}] });
    await sql`delete from batch_changes`.execute(instance.db);
    expect((await asked('DELETE', '/api/organisations/acme'))[0]).toBe(204);
    expect(await sql`select from secrets`.execute(instance.db)).toMatchObject({ rows: [] });
  });
});

describe('a namespace', () => {
  test.each([
    ['ann', 'ann', true],
    ['ann', 'org/acme', true],
    ['ann', 'bob', false],
    ['ann', 'acme', false],
    ['bob', 'org/acme', false],
    ['admin', 'org/acme', true],
    ['admin', 'ann', true],
    ['admin', 'org/none', false],
    ['admin', 'nobody', false],
  ])('%s may use %s: %s', async (name, namespace, may) => {
    const used = requireNamespace(instance.db, await personOf(name, name === 'admin'), namespace);
    if (may) await used;
    else await expect(used).rejects.toMatchObject({ code: 'namespace_not_found', status: 404 });
  });

  test('is seen with those of the organisations of a user; an admin sees all', async () => {
    expect(await visibleNamespaces(instance.db, await personOf('ann'))).toEqual(['ann', 'org/acme']);
    expect(await visibleNamespaces(instance.db, await personOf('bob'))).toEqual(['bob']);
    expect(await visibleNamespaces(instance.db, await personOf('admin', true))).toBe(null);
  });
});

describe('a secret', () => {
  const names = async (query: string, user: string) => {
    const [status, answer] = await asked('GET', `/api/secrets${query}`, undefined, user);
    return status === 200 ? secretsSchema.parse(answer).secrets.map(({ name }) => name) : status;
  };
  const set = (name: string, query: string, value: string, user?: string) =>
    asked('PUT', `/api/secrets/${name}${query}`, { value }, user);

  test('of an organisation is listed, set and removed by its members, and does not exist for others', async () => {
    const query = '?organisation=acme';
    expect((await set('TOKEN', query, 'of-acme', 'ann'))[0]).toBe(200);
    expect(await names(query, 'ann')).toEqual(['TOKEN']);
    expect(await names('', 'ann')).toEqual([]);
    expect(await names(query, 'bob')).toBe(404);
    expect(await set('TOKEN', query, 'of-bob', 'bob')).toEqual([404, refusal('organisation_not_found')]);
    expect((await asked('DELETE', `/api/secrets/TOKEN${query}`, undefined, 'bob'))[0]).toBe(404);
    expect((await asked('DELETE', `/api/secrets/TOKEN${query}`, undefined, 'ann'))[0]).toBe(204);
    expect(await names(query, 'ann')).toEqual([]);
  });

  test('of the whole instance is listed by all, and changed by admins alone', async () => {
    const query = '?global=true';
    expect(await set('TOKEN', query, 'of-all', 'ann')).toEqual([403, refusal('scope_missing')]);
    expect((await set('TOKEN', query, 'of-all'))[0]).toBe(200);
    expect(await names(query, 'bob')).toEqual(['TOKEN']);
    expect((await asked('DELETE', `/api/secrets/TOKEN${query}`, undefined, 'ann'))[0]).toBe(403);
    expect((await asked('DELETE', `/api/secrets/TOKEN${query}`))[0]).toBe(204);
  });

  test('of both kinds at once is refused', async () => {
    expect((await set('TOKEN', '?global=true&organisation=acme', 'value'))[0]).toBe(400);
  });

  test('of an organisation or of the instance goes to no job that names it', async () => {
    await set('TOKEN', '?global=true', 'of-all');
    await set('TOKEN', '?organisation=acme', 'of-acme');
    const run = { queue: 'runs', image: await instance.image(), argv: ['true'], accept: ['vm-emulated'] };
    const [status, answer] = await asked('POST', '/api/jobs', { ...run, secrets: ['TOKEN'] }, 'ann');
    expect([status, answer]).toEqual([404, refusal('secret_not_found')]);
  });

  test('of the namespace of a batch change comes before one of the instance, and no other namespace has it', async () => {
    const vault = openVault(await readSecretsKey(join(instance.directory, 'run/secrets-key')));
    await set('BOTH', '?global=true', 'of-all');
    await set('GLOBAL', '?global=true', 'of-all');
    await set('BOTH', '?organisation=acme', 'of-acme');
    await set('BOTH', '', 'of-bob', 'bob');
    await set('OTHER', '?global=true', 'not asked for');
    const asked = ['BOTH', 'GLOBAL', 'NONE'];
    const of = async (namespace: string) =>
      Object.fromEntries(await secretsOf(instance.db, vault, namespace, asked));
    expect(await of('org/acme')).toEqual({ BOTH: 'of-acme', GLOBAL: 'of-all' });
    expect(await of('bob')).toEqual({ BOTH: 'of-bob', GLOBAL: 'of-all' });
    expect(await of('ann')).toEqual({ BOTH: 'of-all', GLOBAL: 'of-all' });
  });
});
