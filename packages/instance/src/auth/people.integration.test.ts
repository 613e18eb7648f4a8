import {
  type CreateToken,
  type MadeToken,
  madeTokenSchema,
  type Scope,
  tokensSchema,
} from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { startTestInstance, type TestInstance } from '../testing/instance.ts';

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

/** Sends a request with this secret, by default that of the admin's first token. */
const send = (method: string, path: string, body?: unknown, secret = instance.accessToken) =>
  instance.api(method, path, body, { authorization: `token ${secret}` });
const createToken = (request: CreateToken, secret?: string) =>
  send('POST', '/api/access/tokens', request, secret);
async function makeToken(request: CreateToken, secret?: string): Promise<MadeToken> {
  const answer = await createToken(request, secret);
  expect(answer.status).toBe(201);
  return madeTokenSchema.parse(await answer.json());
}
const createUser = (name: string, admin = false) => send('POST', '/api/access/users', { name, admin });
async function userWith(...scopes: Scope[]): Promise<MadeToken> {
  await createUser('ann');
  return await makeToken({ name: 'ci', user: 'ann', scopes });
}
const listTokens = async (secret?: string) =>
  tokensSchema.parse(await (await send('GET', '/api/access/tokens', undefined, secret)).json()).tokens;
const nextHour = () => new Date(Date.now() + 3_600_000).toISOString();

describe('the first start', () => {
  test('makes the user admin with a token for everything', async () => {
    const users = await send('GET', '/api/access/users');
    expect(await users.json()).toMatchObject({ users: [{ name: 'admin', admin: true }] });
    expect(await listTokens()).toMatchObject([
      { name: 'first', user: 'admin', scopes: ['admin'], expiresAt: null },
    ]);
  });
});

describe('an access token', () => {
  test('is shown once, and stored only as its hash', async () => {
    const { secret, id } = await makeToken({ name: 'ci', scopes: ['jobs:read'] });
    const { rows } = await sql<{ everything: string }>`
      select jsonb_agg(t)::text as everything from access_tokens t where id = ${id}
    `.execute(instance.db);
    expect(rows[0]?.everything).toContain('"ci"');
    expect(rows[0]?.everything).not.toContain(secret);
    expect(JSON.stringify(await listTokens())).not.toContain(secret);
    expect(Object.keys((await listTokens())[0] ?? {})).not.toContain('secret');
  });

  test('permits its scopes; otherwise 403 names the missing scope and what to do', async () => {
    const { secret } = await userWith('jobs:read');
    expect((await send('GET', '/api/jobs', undefined, secret)).status).toBe(200);
    expect((await send('HEAD', '/api/jobs', undefined, secret)).status).toBe(200);
    const refused = await send('POST', '/api/jobs', { queue: 'runs' }, secret);
    expect(refused.status).toBe(403);
    expect(await refused.json()).toEqual({
      error: {
        code: 'scope_missing',
        message: 'this request needs an access token with the scope jobs:write; ci of ann has jobs:read',
        remedy: 'Make another token: `fumehood tokens create NAME --scope jobs:write`.',
      },
    });
  });

  test('for jobs alone cannot start a job that reads a repository', async () => {
    const { secret } = await userWith('jobs:write', 'code:read');
    const indexer = { name: 'scip', image: await instance.image(), argv: [] };
    const commit = '0'.repeat(40);
    const job = { queue: 'codeintel', repository: 'acme/payments', commit, indexer };
    const refused = await send('POST', '/api/jobs', job, secret);
    expect(refused.status).toBe(403);
    expect(await refused.json()).toMatchObject({ error: { message: expect.stringContaining('code:write') } });
    const run = { queue: 'runs', image: indexer.image, argv: ['true'] };
    const started = await send('POST', '/api/jobs', run, secret);
    expect(await started.json()).toMatchObject({ state: 'queued', tenant: 'ann' });
  });

  test('is refused as soon as it is revoked', async () => {
    const { id, secret } = await makeToken({ name: 'ci', scopes: ['jobs:read'] });
    expect((await send('POST', `/api/access/tokens/${id}/revoke`)).status).toBe(204);
    const refused = await send('GET', '/api/jobs', undefined, secret);
    expect(refused.status).toBe(401);
    expect((await send('POST', `/api/access/tokens/${id}/revoke`)).status).toBe(404);
    expect((await listTokens()).map((token) => token.name)).toEqual(['first']);
    expect(await makeToken({ name: 'ci', scopes: ['jobs:read'] })).not.toMatchObject({ id });
  });

  test('is refused after its expiry', async () => {
    const { id, secret } = await makeToken({ name: 'ci', scopes: ['jobs:read'], expiresAt: nextHour() });
    expect((await send('GET', '/api/jobs', undefined, secret)).status).toBe(200);
    await sql`update access_tokens set expires_at = clock_timestamp() where id = ${id}`.execute(instance.db);
    expect((await send('GET', '/api/jobs', undefined, secret)).status).toBe(401);
  });

  test('has its last use noted, but not with every request', async () => {
    const versions = async () => {
      const { rows } = await sql<{ row: string; at: Date }>`
        select xmin::text as row, last_used_at as at from access_tokens where name = 'first'
      `.execute(instance.db);
      return rows[0];
    };
    await send('GET', '/api/jobs');
    const first = await versions();
    expect(Math.abs(Date.now() - Number(first?.at))).toBeLessThan(60_000);
    await Promise.all(Array.from({ length: 20 }, () => send('GET', '/api/jobs')));
    expect(await versions()).toEqual(first);
    await sql`update access_tokens set last_used_at = last_used_at - interval '2 minutes'`.execute(
      instance.db,
    );
    await Promise.all(Array.from({ length: 20 }, () => send('GET', '/api/jobs')));
    expect(Number((await versions())?.at)).toBeGreaterThanOrEqual(Number(first?.at));
  });
});

describe('a user', () => {
  test('lists and revokes only their own tokens', async () => {
    const mine = await userWith('tokens');
    await createUser('bob');
    const other = await makeToken({ name: 'ci', user: 'bob', scopes: ['jobs:read'] });
    expect((await listTokens(mine.secret)).map((token) => token.user)).toEqual(['ann']);
    expect((await listTokens()).map((token) => token.user)).toEqual(['admin', 'ann', 'bob']);
    const revoke = (id: number) => send('POST', `/api/access/tokens/${id}/revoke`, undefined, mine.secret);
    expect((await revoke(other.id)).status).toBe(404);
    expect((await revoke(mine.id)).status).toBe(204);
  });

  test.each<[string, object, number, string]>([
    ['a scope that its token does not have', { scopes: ['jobs:write'] }, 403, 'scope_missing'],
    ['the scope admin', { scopes: ['admin'] }, 403, 'scope_missing'],
    ['another user as its owner', { user: 'admin' }, 403, 'scope_missing'],
    ['a name that is taken', { name: 'ci' }, 409, 'name_taken'],
  ])('cannot make a token with %s', async (_, changes, status, code) => {
    const { secret } = await userWith('tokens', 'jobs:read');
    const refused = await createToken({ name: 'more', scopes: ['jobs:read'], ...changes }, secret);
    expect(refused.status).toBe(status);
    expect(await refused.json()).toMatchObject({ error: { code } });
  });

  test('cannot make a token that outlasts the one that makes it', async () => {
    await createUser('ann');
    const end = nextHour();
    const own = await makeToken({ name: 'ci', user: 'ann', scopes: ['tokens'], expiresAt: end });
    const wanted = { name: 'more', scopes: ['tokens' as const] };
    expect((await createToken(wanted, own.secret)).status).toBe(400);
    const later = new Date(Date.parse(end) + 1).toISOString();
    expect((await createToken({ ...wanted, expiresAt: later }, own.secret)).status).toBe(400);
    expect(await makeToken({ ...wanted, expiresAt: end }, own.secret)).toMatchObject({ expiresAt: end });
  });

  test('who is not an admin cannot be given a token with the scope admin', async () => {
    await createUser('ann');
    const refused = await createToken({ name: 'ci', user: 'ann', scopes: ['admin'] });
    expect(refused.status).toBe(400);
    const { secret } = await makeToken({ name: 'ci', user: 'ann', scopes: ['jobs:read'] });
    await sql`update access_tokens set scopes = '{admin}' where name = 'ci'`.execute(instance.db);
    for (const path of ['/api/access/users', '/api/access/executor-credentials', '/api/jobs'])
      expect((await send('GET', path, undefined, secret)).status, path).toBe(403);
  });

  test('who is an admin has no admin rights with a token without the scope admin', async () => {
    const { secret } = await makeToken({ name: 'ci', scopes: ['jobs:read', 'tokens'] });
    expect((await send('GET', '/api/access/users', undefined, secret)).status).toBe(403);
    expect((await createToken({ name: 'more', scopes: ['admin'] }, secret)).status).toBe(403);
  });

  test('is unknown until made, and a name cannot be used twice', async () => {
    expect((await createToken({ name: 'ci', user: 'ann', scopes: ['jobs:read'] })).status).toBe(404);
    expect((await createUser('ann')).status).toBe(201);
    expect((await createUser('ann')).status).toBe(409);
    expect((await createUser('4711')).status).toBe(400);
  });

  test('can have only so many tokens', async () => {
    await sql`
      insert into access_tokens (user_id, name, scopes, sha256)
      select 1, 'n' || n, '{tokens}', sha256(n::text::bytea) from generate_series(2, 100) n
    `.execute(instance.db);
    const refused = await createToken({ name: 'ci', scopes: ['jobs:read'] });
    expect(await refused.json()).toMatchObject({ error: { code: 'too_many_tokens' } });
  });
});
