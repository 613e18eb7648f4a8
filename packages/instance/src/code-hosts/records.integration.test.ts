import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { systemClock } from '@fumehood/base';
import { setCodeHostSchema, setRepositorySchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { connect, type Db } from '../db/connect.ts';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { setRepository } from '../repos/records.ts';
import { countOfOtherKey } from '../secrets/other-key.ts';
import { openVault } from '../secrets/vault.ts';
import { codeHostOf } from './host-of.ts';
import { listCodeHosts, readCodeHosts, removeCodeHost, setCodeHost, tokenOf } from './records.ts';

const vault = openVault(Buffer.alloc(32, 1));
const token = 'correct-horse-battery';
const webhookSecret = 'a-secret-of-sixteen-and-more';

let server: TestServer;
let db: Db;
beforeAll(async () => {
  server = openTestServer();
  db = connect(await server.clone());
});
afterAll(async () => {
  await db.destroy();
  await server.stop();
});
beforeEach(async () => {
  await sql`delete from code_hosts`.execute(db);
  await sql`delete from repositories`.execute(db);
});

const set = (name: string, more: object = {}) =>
  setCodeHost(
    ...[db, vault, name],
    setCodeHostSchema.parse({ kind: 'gitea', url: `https://${name}`, token, ...more }),
    'admin',
  );
const mirror = (name: string, url: string | null) =>
  setRepository(db, vault, name, setRepositorySchema.parse({ url }));
const hostOf = (repository: string) => codeHostOf({ db, vault, clock: systemClock }, repository);

test('a code host is shown and stored without its token and its secret', async () => {
  const made = await set('forge.test', { webhookSecret });
  expect(made).toEqual({
    ...{ name: 'forge.test', kind: 'gitea', url: 'https://forge.test', hasWebhookSecret: true },
    ...{ forks: false, limitedUntil: null, setBy: 'admin', setAt: expect.any(String) },
  });
  expect(await listCodeHosts(db)).toEqual([made]);
  const [stored] = await readCodeHosts(db);
  if (!stored) throw new Error('it is not stored');
  expect(tokenOf(vault, stored)).toBe(token);
  const { rows } = await sql<Record<string, unknown>>`select * from code_hosts`.execute(db);
  for (const value of Object.values(rows[0] ?? {}))
    expect(Buffer.isBuffer(value) ? value.toString('latin1') : String(value)).not.toMatch(
      `${token}|${webhookSecret}`,
    );
  expect(await countOfOtherKey(db, openVault(Buffer.alloc(32)))).toBe(2);
});

test('the token of a code host goes to no other URL', async () => {
  await set('forge.test');
  await sql`update code_hosts set url = 'https://elsewhere.test'`.execute(db);
  const [stored] = await readCodeHosts(db);
  expect(() => stored && tokenOf(vault, stored)).toThrow('cannot be decrypted');
});

test('a code host is replaced and removed, and its URL is that of no other one', async () => {
  await set('forge.test', { webhookSecret });
  expect(await set('forge.test', { kind: 'gitlab' })).toMatchObject({
    ...{ kind: 'gitlab', hasWebhookSecret: false },
  });
  await expect(set('other', { url: 'https://forge.test/' })).rejects.toMatchObject({
    code: 'code_host_url_taken',
  });
  await removeCodeHost(db, 'forge.test');
  await expect(removeCodeHost(db, 'forge.test')).rejects.toMatchObject({ code: 'code_host_not_found' });
});

test('a repository has the code host of its URL, or none', async () => {
  await set('forge.test');
  await set('github.com', { kind: 'github' });
  await mirror('a', 'https://forge.test/o/a.git');
  await mirror('b', 'https://github.com/o/b');
  await mirror('plain', 'https://plain.test/o/c');
  await mirror('sent', null);
  await mirror('odd', 'https://forge.test/o');
  expect(await hostOf('a')).toMatchObject({ kind: 'gitea' });
  expect(await hostOf('b')).toMatchObject({ kind: 'github' });
  expect(await hostOf('plain')).toBeNull();
  expect(await hostOf('sent')).toBeNull();
  await expect(hostOf('odd')).rejects.toMatchObject({ code: 'host_repository_invalid' });
  await expect(hostOf('nothing')).rejects.toMatchObject({ code: 'repository_not_found' });
});

test('a host that asks for a pause gets no request before its end, from any replica', async () => {
  let requests = 0;
  const host: Server = createServer((_request, response) => {
    requests += 1;
    response.writeHead(429, { 'retry-after': '120' }).end();
  });
  await new Promise<void>((resolve) => host.listen(0, '127.0.0.1', resolve));
  try {
    const url = `http://127.0.0.1:${(host.address() as AddressInfo).port}`;
    await set('slow', { url });
    await mirror('a', `${url}/o/a`);
    const limited = { code: 'host_rate_limited', details: { retryAt: expect.any(Number) } };
    const first = await hostOf('a');
    await expect(first?.read('1')).rejects.toMatchObject(limited);
    await expect(first?.read('1')).rejects.toMatchObject(limited);
    await expect((await hostOf('a'))?.read('1')).rejects.toMatchObject(limited);
    expect(requests).toBe(1);
    const [{ limitedUntil } = { limitedUntil: null }] = await listCodeHosts(db);
    expect(Date.parse(limitedUntil ?? '') - Date.now()).toBeGreaterThan(100_000);
    await set('slow', { url });
    await expect((await hostOf('a'))?.read('1')).rejects.toMatchObject(limited);
    expect(requests).toBe(2);
  } finally {
    host.close();
  }
});
