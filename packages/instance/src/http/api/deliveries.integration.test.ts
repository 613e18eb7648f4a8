import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  madeWebhookSchema,
  type RepositoryRecord,
  repositoryRecordSchema,
  setCodeHostSchema,
} from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { setCodeHost } from '../../code-hosts/records.ts';
import { openTestServer, type TestServer } from '../../db/testing.ts';
import { acceptDelivery, forgetDeliveries } from '../../repos/deliveries.ts';
import { readDelivery } from '../../repos/delivery.ts';
import { webhookSecrets } from '../../repos/webhooks.ts';
import { readSecretsKey } from '../../secrets/key.ts';
import { countOfOtherKey } from '../../secrets/other-key.ts';
import { openVault } from '../../secrets/vault.ts';
import { startTestInstance, type TestInstance } from '../../testing/instance.ts';
import { requestLimits } from '../limits.ts';

const url = 'https://fumehood.test/below';
let server: TestServer;
let instance: TestInstance;
let secret: string;
beforeAll(async () => {
  server = openTestServer();
  instance = await startTestInstance(await server.clone(), { url });
});
afterAll(async () => {
  await instance.stop();
  await server.stop();
});

/** What nobody syncs: the remote of the repository does not exist. Each test has its own repository. */
let name = '';
let count = 0;
const webhook = (method: string, body?: object, of = name) =>
  instance.api(method, `/api/webhooks/${of}`, body);
beforeEach(async () => {
  count += 1;
  name = `acme/r${count}`;
  const added = await instance.api('PUT', `/api/repositories/${name}`, { url: 'http://127.0.0.1:1/x' });
  expect(added.status).toBe(200);
  secret = madeWebhookSchema.parse(await (await webhook('PUT', {})).json()).secret ?? '';
});

const sign = (text: string, key = secret) => createHmac('sha256', key).update(text).digest('hex');
type Headers = Record<string, string>;
const github = (body: string, event = 'push', key = secret): Headers => ({
  ...{ 'x-github-event': event, 'x-github-delivery': 'd-1', 'content-type': 'application/json' },
  'x-hub-signature-256': `sha256=${sign(body, key)}`,
});
const gitea = (body: string): Headers => ({
  ...{ 'x-gitea-event': 'push', 'x-gitea-delivery': 'g-1', 'x-gitea-signature': sign(body) },
  ...github(body),
});
const generic = (body: string, ageSeconds = 0): Headers => {
  const time = String(Math.floor(Date.now() / 1_000) - ageSeconds);
  return { 'x-fumehood-timestamp': time, 'x-fumehood-signature': `sha256=${sign(`${time}.${body}`)}` };
};
async function post(body: string, headers: Headers, to = name): Promise<[number, string]> {
  const answer = await fetch(`${instance.url}/hooks/${to}`, { method: 'POST', headers, body });
  const { result, error } = (await answer.json()) as { result?: string; error?: { code: string } };
  return [answer.status, result ?? error?.code ?? ''];
}
const show = async (): Promise<RepositoryRecord> =>
  repositoryRecordSchema.parse(await (await instance.api('GET', `/api/repositories/${name}`)).json());
/** Lets the next sync be an hour away, and nobody sync meanwhile. */
const settle = () =>
  sql`update repositories set sync_after = now() + interval '1 hour', claim = gen_random_uuid(), claimed_until = now() + interval '1 hour'`.execute(
    instance.db,
  );
const isDue = async () => Date.parse((await show()).nextSyncAt) <= Date.now() + 1_000;

describe('a delivery', () => {
  test.each([
    ['github', github],
    ['gitea', gitea],
    ['generic', generic],
  ])('of %s has its repository synced, once', async (sender, headersOf) => {
    await settle();
    expect(await isDue()).toBe(false);
    const headers = headersOf('{"n":1}');
    expect(await post('{"n":1}', headers)).toEqual([202, 'sync']);
    expect(await isDue()).toBe(true);
    expect((await show()).webhook?.lastDelivery).toMatchObject({ sender, event: 'push', result: 'sync' });

    await settle();
    // Neither its repetition nor the same signature under other headers counts again.
    expect(await post('{"n":1}', headers)).toEqual([409, 'delivery_repeated']);
    if (sender !== 'generic')
      expect(await post('{"n":1}', { ...headers, [`x-${sender}-delivery`]: 'new' })).toEqual([
        409,
        'delivery_repeated',
      ]);
    expect(await isDue()).toBe(false);
    expect(await post('{"n":2}', headersOf('{"n":2}'))).toEqual([202, 'sync']);
    expect(await isDue()).toBe(true);
  });

  test('that says ping, or what changes no branch, does nothing, and cannot be sent again as a push', async () => {
    await settle();
    expect(await post('{}', github('{}', 'ping'))).toEqual([200, 'ignored']);
    expect(await post('{"a":1}', github('{"a":1}', 'issues'))).toEqual([200, 'ignored']);
    expect(await post('{}', github('{}', 'push'))).toEqual([409, 'delivery_repeated']);
    expect(await isDue()).toBe(false);
    expect((await show()).webhook?.lastDelivery).toMatchObject({ event: 'issues', result: 'ignored' });
  });

  test('is refused in the same way with a wrong secret, without a webhook, and for no repository', async () => {
    await settle();
    const refused = async (headers: Headers, to = name) => {
      const answer = await fetch(`${instance.url}/hooks/${to}`, { method: 'POST', headers, body: '{}' });
      return [answer.status, await answer.text()] as const;
    };
    const wrong = await refused(github('{}', 'push', `${secret}x`));
    expect(wrong).toEqual([401, expect.stringContaining('"delivery_refused"')]);
    expect(await refused(github('{}'), 'acme/unknown')).toEqual(wrong);
    expect(await refused({})).toEqual(wrong);
    // The secret of another repository, and one that was removed.
    const first = name.replace(String(count), '1');
    expect(await refused(github('{}'), first)).toEqual(wrong);
    expect((await webhook('DELETE')).status).toBe(204);
    expect(await refused(github('{}'))).toEqual(wrong);
    const { rows } = await sql`
      select from webhook_deliveries join repositories on id = repository_id where name = ${name}
    `.execute(instance.db);
    expect([rows.length, await isDue()]).toEqual([0, false]);
  });

  test.each([
    ['older than five minutes', 310],
    ['of later than in five minutes', -310],
  ])('whose signed time is %s is refused', async (_, age) => {
    expect(await post('{}', generic('{}', age))).toEqual([401, 'delivery_stale']);
    expect(await post('{}', generic('{}', age - 20 * Math.sign(age)))).toEqual([202, 'sync']);
  });

  test('that is larger than 1 MiB is refused, whatever its secret is', async () => {
    const most = 'x'.repeat(2 ** 20);
    expect(await post(most, github(most))).toEqual([202, 'sync']);
    const body = `${most}x`;
    for (const to of [name, 'acme/unknown'])
      expect(await post(body, github(body), to)).toEqual([413, 'invalid_request']);
  });

  test('is stored together with the request for a sync, or not at all', async () => {
    await settle();
    const delivery = readDelivery(github('{}'));
    if (!delivery) throw new Error('no delivery');
    await sql`alter table repositories add constraint broken check (sync_after > now() + interval '10 minutes') not valid`.execute(
      instance.db,
    );
    const accept = () => acceptDelivery(instance.db, name, delivery, Buffer.from('{}'));
    await expect(accept()).rejects.toThrow('broken');
    await sql`alter table repositories drop constraint broken`.execute(instance.db);
    expect(await accept()).toBe('sync');
    await expect(accept()).rejects.toMatchObject({ code: 'delivery_repeated' });
  });

  test('is forgotten after a time, and when there were too many', async () => {
    const left = async () => {
      await forgetDeliveries(instance.db);
      const { rows } = await sql<{ event: string; count: number }>`
        select event, count(*)::int as count from webhook_deliveries join repositories on id = repository_id
        where name = ${name} group by event order by event
      `.execute(instance.db);
      return rows.map(({ event, count: many }) => [event, many]);
    };
    await sql`
      insert into webhook_deliveries (repository_id, sha256, sender, event, result, received_at)
      select id, sha256(n::text::bytea), 'github', case when n = 0 then 'old' else 'new' end, 'ignored',
        case when n = 0 then now() - interval '31 days' else now() - make_interval(secs => n) end
      from repositories, generate_series(0, 900) n where name = ${name}
    `.execute(instance.db);
    expect(await left()).toEqual([['new', 900]]);
    await sql`
      insert into webhook_deliveries (repository_id, sha256, sender, event, result)
      select id, sha256(n::text::bytea), 'github', 'newest', 'ignored'
      from repositories, generate_series(1000, 1299) n where name = ${name}
    `.execute(instance.db);
    expect(await left()).toEqual([
      ['new', 700],
      ['newest', 300],
    ]);
  });
});

describe('many deliveries', () => {
  test('of a push make one sync due, however many come at once', async () => {
    await settle();
    const bodies = Array.from({ length: 12 }, (_, n) => `{"n":${n}}`);
    const statuses = await Promise.all(bodies.map(async (body) => (await post(body, github(body)))[0]));
    expect(statuses).toEqual(bodies.map(() => 202));
    const { rows } = await sql`select from repositories where sync_after <= now()`.execute(instance.db);
    expect(rows).toHaveLength(1);
  });

  test('of the same push at once count once', async () => {
    const headers = github('{}');
    const statuses = await Promise.all(Array.from({ length: 8 }, async () => (await post('{}', headers))[0]));
    expect(statuses.toSorted((a, b) => a - b)).toEqual([202, ...Array<number>(7).fill(409)]);
  });
});

describe('a delivery about a pull request', () => {
  const body = JSON.stringify({ number: 7, pull_request: { number: 7, merged: true, state: 'closed' } });
  const later = sql`clock_timestamp() + interval '1 hour'`;
  /** Stores a changeset of the repository, whose state nobody reads meanwhile. */
  const changeset = async (externalId: string) => {
    await sql`
      with made as (insert into batch_changes (namespace, name, creator) values ('ann', ${name}, 'ann')
        on conflict (namespace, name) do update set creator = 'ann' returning id)
      insert into changesets (batch_change_id, repository, external_id, publication, external_state, reconciler, sync_after)
      select id, ${name}, ${externalId}, 'published', 'open', 'processing', ${later} from made
    `.execute(instance.db);
  };
  const states = async () => {
    const { rows } = await sql<{ id: string; state: string; isDue: boolean }>`
      select external_id as id, external_state as state, sync_after <= clock_timestamp() as "isDue" from changesets
      where repository = ${name} order by external_id
    `.execute(instance.db);
    return rows;
  };
  const gitlab = (event: string, key = secret): Headers => ({
    'x-gitlab-event': event,
    'x-gitlab-token': key,
  });

  test('has the state of this changeset read from its host, and is not believed', async () => {
    await settle();
    await changeset('7');
    await changeset('8');
    expect(await post(body, github(body, 'pull_request'))).toEqual([202, 'changesets']);
    expect(await states()).toEqual([
      { id: '7', state: 'open', isDue: true },
      { id: '8', state: 'open', isDue: false },
    ]);
    expect(await isDue()).toBe(false);
    expect(await post(body, github(body, 'pull_request'))).toEqual([409, 'delivery_repeated']);
    expect((await show()).webhook?.lastDelivery).toMatchObject({
      event: 'pull_request',
      result: 'changesets',
    });
  });

  test('that no changeset has does nothing', async () => {
    await changeset('8');
    expect(await post(body, github(body, 'pull_request'))).toEqual([200, 'ignored']);
    expect(await states()).toMatchObject([{ isDue: false }]);
  });

  test('of GitLab has the secret itself', async () => {
    await changeset('7');
    const merged = JSON.stringify({
      object_kind: 'merge_request',
      object_attributes: { iid: 7, state: 'merged' },
    });
    const event = 'Merge Request Hook';
    expect(await post(merged, gitlab(event, `${secret}x`))).toEqual([401, 'delivery_refused']);
    expect(await post(merged, gitlab(event))).toEqual([202, 'changesets']);
    expect(await states()).toMatchObject([{ state: 'open', isDue: true }]);
    expect(await post('{"n":1}', gitlab('Push Hook'))).toEqual([202, 'sync']);
  });

  test('may be signed with the secret of the code host, for its repositories alone', async () => {
    const vault = openVault(await readSecretsKey(join(instance.directory, 'run/secrets-key')));
    const webhookSecret = 'a-secret-of-the-code-host';
    const set = setCodeHostSchema.parse({
      kind: 'gitea',
      url: 'http://127.0.0.1:1',
      token: 't',
      webhookSecret,
    });
    await setCodeHost(instance.db, vault, 'local', set, 'admin');
    await changeset('7');
    expect(await post(body, github(body, 'pull_request', webhookSecret))).toEqual([202, 'changesets']);
    expect((await webhook('DELETE')).status).toBe(204);
    expect(await post('{}', github('{}', 'push', webhookSecret))).toEqual([202, 'sync']);
    await instance.api('PUT', `/api/repositories/${name}`, { url: 'http://elsewhere.test/x' });
    expect(await post('{"n":1}', github('{"n":1}', 'push', webhookSecret))).toEqual([
      401,
      'delivery_refused',
    ]);
    await sql`delete from code_hosts`.execute(instance.db);
  });
});

test('the secret of no webhook is looked up with the same work, and is one that nobody has', async () => {
  const vault = openVault(Buffer.alloc(32));
  let opened = 0;
  const counting = {
    ...vault,
    open(...args: Parameters<typeof vault.open>) {
      opened += 1;
      return vault.open(...args);
    },
  };
  const errors: unknown[] = [];
  const secretsOf = webhookSecrets(instance.db, counting);
  const found = async (of: string) => await secretsOf(of, { error: (fault: unknown) => errors.push(fault) });
  const other = await found('acme/unknown');
  expect([other[0]?.length, opened, errors.length]).toEqual([40, 2, 0]);
  // What another key has sealed is refused in the same way; the log of the instance says so.
  expect([await found(name), opened, errors.length]).toEqual([other, 4, 1]);
});

test('deliveries of all repositories have one share of memory, and those of one wait for few others', async () => {
  const limits = {
    ...requestLimits,
    drain: { ...requestLimits.drain, stallMs: 100 },
    ...{ memoryPerHolder: 1_500_000, deliveries: { all: 1, waiting: 0 } },
  };
  const bounded = await startTestInstance(await server.clone(), { limits });
  const begin = async (to: string, bytes: number, withinMs = 5_000) => {
    const headers = { ...github('x'), 'content-length': String(bytes) };
    const sent = request(`${bounded.url}/hooks/${to}`, { method: 'POST', headers, agent: false });
    sent.on('error', () => {}); // it is given up at the end
    sent.write('x');
    const answered = once(sent, 'response').then(([answer]) => (answer as IncomingMessage).statusCode);
    return { sent, status: await Promise.race([answered, delay(withinMs, null)]) };
  };
  try {
    const first = await begin('acme/a', 1_000_000, 300);
    const second = await begin('acme/b', 1_000_000);
    expect([first.status, second.status]).toEqual([null, 429]);
    for (const { sent } of [first, second]) sent.destroy();
    const settled: (number | null | undefined)[] = [];
    let last: Promise<unknown> = Promise.resolve();
    await bounded.db.transaction().execute(async (tx) => {
      // The one that has the turn waits for its secret.
      await sql`lock table webhooks in access exclusive mode`.execute(tx);
      const many = Array.from({ length: 20 }, async () => settled.push((await begin('acme/a', 1)).status));
      await vi.waitFor(() => expect(settled).toHaveLength(19), 4_000);
      last = Promise.all(many);
    });
    await last;
    const statuses = settled.toSorted((a, b) => Number(a) - Number(b));
    expect(statuses).toEqual([401, ...Array<number>(19).fill(429)]);
  } finally {
    await bounded.stop();
  }
});

describe('a webhook', () => {
  test('has an address and a secret, which is shown once and stored sealed for its repository', async () => {
    const own = 'a-secret-of-the-code-host';
    const set = await webhook('PUT', { secret: own });
    expect(await set.json()).toMatchObject({ repository: name, url: `${url}/hooks/${name}`, secret: null });
    expect(await (await webhook('GET')).text()).not.toMatch(/secret/);
    expect(await post('{}', github('{}'))).toEqual([401, 'delivery_refused']); // the earlier secret
    expect(await post('{}', github('{}', 'push', own))).toEqual([202, 'sync']);
    const { rows } = await sql<{ secret: Buffer }>`select secret from webhooks`.execute(instance.db);
    expect(rows.some((row) => row.secret.toString('latin1').includes(own))).toBe(false);
    expect(await countOfOtherKey(instance.db, openVault(Buffer.alloc(32)))).toBe(rows.length);

    // Whoever can write to the database cannot give its secret to the webhook of another repository.
    await sql`
      update webhooks set secret = (select secret from webhooks join repositories on id = repository_id where name = ${name})
    `.execute(instance.db);
    const first = name.replace(String(count), '1');
    expect(await post('{"b":1}', github('{"b":1}', 'push', own), first)).toEqual([401, 'delivery_refused']);
    expect(await post('{"b":1}', github('{"b":1}', 'push', own))).toEqual([202, 'sync']);
  });

  test('stays when the repository is mirrored from elsewhere, and goes with it', async () => {
    await instance.api('PUT', `/api/repositories/${name}`, { url: 'http://127.0.0.1:1/y' });
    expect(await post('{}', github('{}'))).toEqual([202, 'sync']);
    expect((await instance.api('DELETE', `/api/repositories/${name}`)).status).toBe(204);
    expect((await webhook('GET')).status).toBe(404);
  });

  test('that was removed and set again with its secret takes no delivery of before', async () => {
    expect(await post('{}', github('{}'))).toEqual([202, 'sync']);
    expect((await webhook('DELETE')).status).toBe(204);
    expect((await webhook('PUT', { secret })).status).toBe(200);
    expect((await show()).webhook?.lastDelivery).toBeNull();
    expect(await post('{}', github('{}'))).toEqual([409, 'delivery_repeated']);
  });

  test('is refused for a repository whose commits clients send, for none, and with a secret that is short', async () => {
    await sql`update repositories set url = null where name = ${name}`.execute(instance.db);
    const code = async (answer: Response) =>
      ((await answer.json()) as { error: { code: string } }).error.code;
    expect(await code(await webhook('PUT', {}))).toBe('repository_sent');
    expect(await post('{}', github('{}'))).toEqual([401, 'delivery_refused']);
    expect(await code(await webhook('PUT', {}, 'acme/unknown'))).toBe('repository_not_found');
    expect(await code(await webhook('PUT', { secret: 'short' }))).toBe('invalid_request');
  });
});
