import { createTokenSchema, type Job, madeTokenSchema, scopeSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { nativeOffer } from '../testing/executor-client.ts';
import { startTestInstance, type TestInstance } from '../testing/instance.ts';

const value = 'npm_0123456789';
let server: TestServer;
let instance: TestInstance;
let ann: Record<string, string>;
beforeAll(async () => {
  server = openTestServer();
  instance = await startTestInstance(await server.clone());
  await instance.api('POST', '/api/access/users', { name: 'ann' });
  const scopes = scopeSchema.options.filter((scope) => scope !== 'admin');
  const body = createTokenSchema.parse({ name: 'all', user: 'ann', scopes });
  const made = await (await instance.api('POST', '/api/access/tokens', body)).json();
  ann = { authorization: `token ${madeTokenSchema.parse(made).secret}` };
});
afterAll(async () => {
  await instance.stop();
  await server.stop();
});
beforeEach(async () => {
  await sql`delete from secrets`.execute(instance.db);
});

const set = (name: string, body: object = { value }, headers?: Record<string, string>) =>
  instance.api('PUT', `/api/secrets/${name}`, body, headers);
const request = async (more: object) => ({
  ...{ queue: 'runs', image: await instance.image(), argv: ['true'], accept: ['vm-emulated'] },
  ...more,
});
const leased = async () => {
  const job = (await instance.lease()) as Job;
  await instance.executor().job(job).complete();
  return job;
};

describe('a secret', () => {
  test('is shown without its value, and stored without it', async () => {
    const made = await (await set('NPM_TOKEN')).json();
    expect(made).toEqual({ name: 'NPM_TOKEN', createdAt: expect.any(String) });
    expect(await (await instance.api('GET', '/api/secrets')).json()).toEqual({ secrets: [made] });
    const { rows } = await sql<{ value: Buffer }>`select value from secrets`.execute(instance.db);
    expect(rows[0]?.value.toString('latin1')).not.toContain(value);
  });

  test('reaches the steps of a job that names it, and neither its record nor its payload in the database', async () => {
    await set('NPM_TOKEN');
    await set('OTHER', { value: 'other-value' });
    const made = await instance.run({ env: ['A=1'], secrets: ['NPM_TOKEN'] });
    expect(made.secrets).toEqual(['NPM_TOKEN']);
    const { dockerSteps, redactedValues, fumehood } = await leased();
    expect(dockerSteps).toMatchObject([{ env: ['A=1', `NPM_TOKEN=${value}`] }]);
    expect(redactedValues).toEqual({ [value]: '[secret NPM_TOKEN]' });
    expect(fumehood?.secrets).toEqual(['NPM_TOKEN']);
    const { rows } = await sql`select jobs, payload, job_events from jobs
      left join job_events on job_events.job_id = jobs.id where jobs.id = ${made.id}`.execute(instance.db);
    expect(JSON.stringify(rows)).toContain('NPM_TOKEN');
    expect(JSON.stringify(rows)).not.toContain(value);
  });

  test('has the value that it has when the job is leased, and a job without it fails', async () => {
    await set('NPM_TOKEN');
    await instance.run({ secrets: ['NPM_TOKEN'] });
    await set('NPM_TOKEN', { value: 'rotated' });
    expect((await leased()).dockerSteps?.[0]?.env).toEqual(['NPM_TOKEN=rotated']);
    const { id } = await instance.run({ secrets: ['NPM_TOKEN'] });
    expect((await instance.api('DELETE', '/api/secrets/NPM_TOKEN')).status).toBe(204);
    await instance.executor().dequeue({ queues: ['runs'], fumehood: nativeOffer() });
    expect(await (await instance.api('GET', `/api/jobs/${id}`)).json()).toMatchObject({
      state: 'failed',
      failure: { message: expect.stringContaining('there is no secret NPM_TOKEN') },
    });
  });

  test('that is not there is refused when the job is made, with what to do', async () => {
    await set('NPM_TOKEN');
    const answer = await instance.api('POST', '/api/jobs', await request({ secrets: ['NPM_TOKEN', 'NOPE'] }));
    expect(answer.status).toBe(404);
    expect(await answer.json()).toEqual({
      error: {
        code: 'secret_not_found',
        message: 'there is no secret NOPE',
        remedy: expect.stringContaining('`fumehood secrets set NOPE`'),
      },
    });
  });

  test('of one user does not exist for another one, and not for an admin', async () => {
    await set('NPM_TOKEN', { value: 'of-the-admin' });
    expect(await (await instance.api('GET', '/api/secrets', undefined, ann)).json()).toEqual({ secrets: [] });
    const body = await request({ secrets: ['NPM_TOKEN'] });
    expect((await instance.api('POST', '/api/jobs', body, ann)).status).toBe(404);
    expect((await instance.api('DELETE', '/api/secrets/NPM_TOKEN', undefined, ann)).status).toBe(404);
    await set('NPM_TOKEN', { value: 'of-ann' }, ann);
    await instance.api('POST', '/api/jobs', body, ann);
    expect((await leased()).dockerSteps?.[0]?.env).toEqual(['NPM_TOKEN=of-ann']);
    await instance.run({ secrets: ['NPM_TOKEN'] });
    expect((await leased()).dockerSteps?.[0]?.env).toEqual(['NPM_TOKEN=of-the-admin']);
  });

  test('that was moved to another user in the database is refused', async () => {
    await set('NPM_TOKEN');
    await sql`update secrets set tenant = 'ann'`.execute(instance.db);
    await instance.api('POST', '/api/jobs', await request({ secrets: ['NPM_TOKEN'] }), ann);
    const answer = await instance.executor().dequeue({ queues: ['runs'], fumehood: nativeOffer() });
    expect(await answer.text()).toContain('the secret NPM_TOKEN of ann cannot be decrypted');
  });

  test.each([
    ['a name with a hyphen', 'NPM-TOKEN', { value }],
    ['a name that begins with a digit', '1TOKEN', { value }],
    ['a value of 3 bytes', 'TOKEN', { value: 'abc' }],
    ['a value of 65,537 bytes', 'TOKEN', { value: 'x'.repeat(65_537) }],
    ['a NUL in its value', 'TOKEN', { value: 'abcd\0' }],
  ])('with %s is refused', async (_what, name, body) => {
    expect((await set(name, body)).status).toBe(400);
  });

  test('has up to 64 KiB, and a user up to 200 of them', async () => {
    expect((await set('LARGE', { value: 'x'.repeat(65_536) })).status).toBe(200);
    await sql`insert into secrets (tenant, name, value)
      select 'admin', 'N' || n, '' from generate_series(1, 199) n`.execute(instance.db);
    expect((await set('LARGE')).status).toBe(200);
    expect((await set('ONE_MORE')).status).toBe(409);
  });
});
