import { createTokenSchema, madeTokenSchema, scopeSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { accessOf, type Reach, routeAccess } from '../auth/scopes.ts';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { startTestInstance, type TestInstance } from '../testing/instance.ts';
import { publicRoutes } from '../testing/job-routes.ts';

/** Ann attacks the jobs of Bob: her token has every scope but `admin`. The admin does the same with success. */
let server: TestServer;
let instance: TestInstance;
let ann: string;
let bob: string;
let job: number;

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
  const run = { queue: 'runs', image: await instance.image(), argv: ['true'], stdin: true };
  const made = await send(bob, 'POST', '/api/jobs', { ...run, accept: ['vm-emulated'] });
  job = ((await made.json()) as { id: number }).id;
  // What it has brought back, at the path that the routes have as it is written in their table.
  await sql`insert into job_artifacts values (${job}, '*', 0, ${run.image}, 1)`.execute(instance.db);
});

async function tokenOf(user: string): Promise<string> {
  await instance.api('POST', '/api/access/users', { name: user });
  const scopes = scopeSchema.options.filter((scope) => scope !== 'admin');
  const body = createTokenSchema.parse({ name: 'all', user, scopes });
  return madeTokenSchema.parse(await (await instance.api('POST', '/api/access/tokens', body)).json()).secret;
}

const send = (token: string, method: string, path: string, body?: unknown) =>
  instance.api(method, path, body, { authorization: `token ${token}` });

const routesThatReach = (reach: Reach) =>
  Object.keys(routeAccess).filter((route) => routeAccess[route]?.reach === reach);

/** Sends a request to a route that names a job. An answer without end is cut off. */
async function ask(token: string, route: string, id: number): Promise<number> {
  const [method = '', url = ''] = route.split(' ');
  const query = url.endsWith('/input') ? '?offset=0' : '';
  const body = url.endsWith('/input') ? Buffer.from('typed by a stranger') : undefined;
  const answer = await send(token, method, `${url.replace(':id', String(id))}${query}`, body);
  await answer.body?.cancel();
  return answer.status;
}

const stored = async () => {
  const { rows } = await sql`
    select state, cancel_requested, input_bytes::int as input from jobs where id = ${job}
  `.execute(instance.db);
  return rows[0];
};

describe('the job of another tenant', () => {
  const untouched = { state: 'queued', cancel_requested: false, input: 0 };

  test('does not exist on any route that names a job, and nothing is changed', async () => {
    const routes = routesThatReach('own job');
    expect(routes.length).toBeGreaterThan(5);
    for (const route of routes) {
      expect(await ask(ann, route, job), route).toBe(404);
      // The answer is that for a job that nobody has.
      expect(await ask(ann, route, 4711), route).toBe(404);
    }
    expect(await stored()).toEqual(untouched);
  });

  test('is in reach for its owner, and for an admin', async () => {
    // The route that ends the job comes last.
    const routes = routesThatReach('own job').sort(
      (a, b) => Number(a.endsWith('/cancel')) - Number(b.endsWith('/cancel')),
    );
    // Only a job that has ended can be deleted.
    for (const token of [bob, instance.accessToken])
      for (const route of routes.filter((one) => !one.endsWith('/cancel')))
        expect(await ask(token, route, job), route).toBe(route.startsWith('DELETE') ? 409 : 200);
    expect(await ask(instance.accessToken, 'POST /api/jobs/:id/cancel', job)).toBe(200);
    expect(await stored()).not.toEqual(untouched);
  });

  test('is in no list, also when its tenant is asked for', async () => {
    const listed = async (token: string, query = '') => {
      const answer = await send(token, 'GET', `/api/jobs?limit=200${query}`);
      if (answer.status !== 200) return answer.status;
      return ((await answer.json()) as { jobs: { tenant: string }[] }).jobs.map(({ tenant }) => tenant);
    };
    expect(await listed(ann)).toEqual([]);
    expect(await listed(ann, '&tenant=bob')).toBe(403);
    expect(await listed(bob)).toContain('bob');
    expect(await listed(bob, '&tenant=bob')).toContain('bob');
    expect(await listed(instance.accessToken)).toContain('bob');
    expect(await listed(instance.accessToken, '&tenant=ann')).toEqual([]);
  });
});

describe('the table of routes', () => {
  test('lists exactly the routes of people', () => {
    const routes = instance.routes.filter(
      (route) => / \/\.?api\//.test(route) && !publicRoutes.includes(route),
    );
    const served = routes.filter((route) => !route.startsWith('HEAD '));
    const heads = routes.filter((route) => route.startsWith('HEAD '));
    const withHead = new Set([...served, ...heads.map((route) => route.replace(/^HEAD/, 'GET'))]);
    expect([...withHead].sort()).toEqual(Object.keys(routeAccess).sort());
  });

  test('refuses a route that it does not list', () => {
    expect(() => accessOf('GET', '/api/unlisted')).toThrow('does not list');
  });
});
