import { createTokenSchema, type Job, madeTokenSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../../db/testing.ts';
import { idOf } from '../../graphql/ids.ts';
import { leaseBatchJob } from '../../testing/batch-job.ts';
import { jobHeaders } from '../../testing/executor-client.ts';
import { startTestInstance, type TestInstance } from '../../testing/instance.ts';

/** The files that the steps of a batch spec of Ann mount: she sends them, and the job of a workspace reads them. */
let server: TestServer;
let instance: TestInstance;
let ann: string;
let bob: string;
/** Two batch specs. */
let spec: string;
let other: string;
beforeAll(async () => {
  server = openTestServer();
  instance = await startTestInstance(await server.clone());
  ann = await tokenOf('ann');
  bob = await tokenOf('bob');
});
afterAll(async () => {
  await instance.stop();
  await server.stop();
});
beforeEach(async () => {
  const { rows } = await sql<{ id: string }>`
    insert into batch_specs (creator, namespace, name, text, origin)
    values ('ann', 'ann', 'hello', '', 'server'), ('ann', 'ann', 'other', '', 'server') returning public_id as id
  `.execute(instance.db);
  [spec, other] = rows.map(({ id }) => id) as [string, string];
});

async function tokenOf(user: string): Promise<string> {
  await instance.api('POST', '/api/access/users', { name: user });
  const body = createTokenSchema.parse({ name: user, user, scopes: ['code:read', 'code:write'] });
  return madeTokenSchema.parse(await (await instance.api('POST', '/api/access/tokens', body)).json()).secret;
}

const sent = {
  directory: '',
  modified: '2026-11-23 18:18:13.041793417 +0000 UTC',
  name: 'fix.sh',
  content: 'echo\n',
};

/** Sends a file as upstream's client does. */
async function send(changes: Partial<typeof sent> = {}, { to = spec, token = ann } = {}) {
  const { directory, modified, name, content } = { ...sent, ...changes };
  const form = new FormData();
  form.set('filepath', directory);
  form.set('filemod', modified);
  form.set('file', new File([content], name));
  const url = `${instance.url}/.api/files/batch-changes/${to}`;
  const answer = await fetch(url, {
    method: 'POST',
    headers: { authorization: `token ${token}` },
    body: form,
  });
  return [answer.status, (await answer.json()) as { id?: string; error?: { code: string } }] as const;
}
const stored = async () => {
  const { rows } = await sql`
    select path, bytes::int, modified_at = '2026-11-23 18:18:13.041 +0000' as "isTime" from batch_files order by path
  `.execute(instance.db);
  return rows;
};
beforeEach(() => sql`delete from batch_files`.execute(instance.db));

describe('a file', () => {
  test('is stored with its path and its time, by either id of its batch spec', async () => {
    expect((await send())[0]).toBe(200);
    expect((await send({ directory: 'dir/sub', name: 's.txt' }, { to: idOf('BatchSpec', spec) }))[0]).toBe(
      200,
    );
    expect(await stored()).toEqual([
      { path: 'dir/sub/s.txt', bytes: 5, isTime: true },
      { path: 'fix.sh', bytes: 5, isTime: true },
    ]);
  });

  test('takes the place of an earlier one at its path', async () => {
    const [, first] = await send();
    expect((await send({ content: 'echo again\n' }))[1]).toEqual(first);
    expect(await stored()).toMatchObject([{ path: 'fix.sh', bytes: 11 }]);
  });

  test.each([
    ['with a directory that leads out', { directory: '..' }],
    ['with a directory that is absolute', { directory: '/etc' }],
    ['with a backslash', { directory: 'a\\b' }],
    ['without a name', { name: '' }],
    ['with a path for its name', { name: 'a/../../b' }],
    ['with a time that is none', { modified: 'yesterday' }],
    ['with a day that there is not', { modified: '2026-13-45 00:00:00 +0000 UTC' }],
  ])('%s is refused', async (_, changes) => {
    expect(await send(changes)).toMatchObject([400, { error: { code: 'invalid_request' } }]);
    expect(await stored()).toEqual([]);
  });

  test('that is too large is refused', async () => {
    const [status, { error }] = await send({ content: '-'.repeat(10 * 2 ** 20 + 1) });
    expect([status, error?.code]).toEqual([413, 'batch_file_too_big']);
  });

  test('of somebody else’s batch spec is refused, as for one that is none', async () => {
    const expected = [404, { error: { code: 'batch_spec_not_found' } }];
    expect(await send({}, { token: bob })).toMatchObject(expected);
    expect(await send({}, { to: '0'.repeat(32) })).toMatchObject(expected);
    expect((await send({}, { token: instance.accessToken }))[0]).toBe(200);
  });

  test('of a batch spec that was executed is refused', async () => {
    await sql`update batch_specs set executed_at = clock_timestamp() where public_id = ${spec}`.execute(
      instance.db,
    );
    expect(await send()).toMatchObject([409, { error: { code: 'batch_spec_executed' } }]);
  });
});

describe('a job', () => {
  /** Leases a job, as if it ran a workspace of the batch spec. */
  async function leased(): Promise<Job> {
    const job = await leaseBatchJob(instance);
    await sql`
      insert into batch_workspaces (spec_id, position, repository, branch, commit, path, only_fetch_workspace, file_matches,
        ignored, unsupported, skipped_steps, step_count, state, job_id)
      select id, 0, 'acme/one', 'refs/heads/main', '', '', false, '{}', false, false, '{}', 1, 'processing', ${job.id}
      from batch_specs where public_id = ${spec}
    `.execute(instance.db);
    return job;
  }
  function read(job: Job, file: string, { of = spec, method = 'GET', authorization = '' } = {}) {
    const headers = { ...jobHeaders(job), ...(authorization !== '' && { authorization }) };
    return fetch(`${instance.url}/.executors/files/batch-changes/${of}/${file}`, { method, headers });
  }

  test('reads the files of its batch spec alone', async () => {
    const [, { id = '' }] = await send();
    const [, { id: foreign = '' }] = await send({}, { to: other });
    const job = await leased();
    expect(await (await read(job, id)).text()).toBe('echo\n');
    const head = await read(job, id, { method: 'HEAD' });
    expect([head.status, head.headers.get('content-length')]).toEqual([200, '5']);
    for (const answer of [read(job, foreign, { of: other }), read(job, foreign), read(job, '0'.repeat(32))])
      expect((await answer).status).toBe(404);
  });

  test('needs its own token', async () => {
    const [, { id = '' }] = await send();
    const job = await leased();
    for (const authorization of [`token ${ann}`, `token-executor ${instance.credential}`, 'Bearer x'])
      expect((await read(job, id, { authorization })).status).toBe(401);
    await sql`update jobs set queue = 'runs' where id = ${job.id}`.execute(instance.db);
    expect((await read(job, id)).status).toBe(403);
  });
});
