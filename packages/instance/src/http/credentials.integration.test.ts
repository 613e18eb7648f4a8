import { type Job, madeCredentialSchema, madeTokenSchema, type Scope, scopeSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { accessOf } from '../auth/scopes.ts';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { type GitTarget, repository, startGitTarget } from '../testing/git-target.ts';
import { jobHeaders } from '../testing/executor-client.ts';
import type { TestInstance } from '../testing/instance.ts';
import {
  batchJobRoutes,
  deliveryRoute,
  executorRoutes,
  jobRoutes,
  joinRoute,
  publicRoutes,
} from '../testing/job-routes.ts';
import { makeSource, type Source } from '../testing/source.ts';

/**
 * There are three kinds of secret: an access token for the routes of people, the credential of executors for leases and heartbeats,
 * and a job's token for the routes of its job. The tests take the list of routes from the running server.
 */
let server: TestServer;
let source: Source;
let target: GitTarget;
let instance: TestInstance;
let job: Job;
let image: string;
/** Ids of a token and a credential that the tests may revoke. */
let token: number;
let credential: number;

beforeAll(async () => {
  server = openTestServer();
  source = makeSource();
  target = await startGitTarget(server);
  instance = target.instance;
  await target.put(source.commit, source.alone(source.commit));
  job = await target.lease(source.commit);
  image = await instance.image();
  const made = (what: string, body: object) =>
    instance.api('POST', `/api/access/${what}`, { name: 'spare', ...body }).then((answer) => answer.json());
  token = madeTokenSchema.parse(await made('tokens', { scopes: ['tokens'] })).id;
  credential = madeCredentialSchema.parse(await made('executor-credentials', { queues: [] })).id;
});
afterAll(async () => {
  await target.stop();
  await server.stop();
  source.remove();
});

const apiRoutes = () =>
  instance.routes.filter((route) => / \/\.?api\//.test(route) && !publicRoutes.includes(route));

function ask(route: string, headers: Record<string, string>): Promise<Response> {
  const [method = '', url = ''] = route.split(' ');
  const path = url
    .replace(':queue', 'codeintel')
    .replace(':id', String(job.id))
    .replace(':digest', image)
    .replace(':token', String(token))
    .replace(':credential', String(credential))
    .replace(':name', 'e1')
    .replace('/push', '/push?executorName=e3')
    .replace('*', `${repository}/pack?commit=${source.commit}`);
  const hasBody = method === 'POST' || method === 'PUT';
  const body = JSON.stringify({ executorName: 'e3', queueNames: ['codeintel'], queues: ['runs'] });
  return fetch(`${instance.url}${path}`, {
    method,
    headers: { ...(hasBody && { 'content-type': 'application/json' }), ...headers },
    ...(hasBody && { body }),
  });
}

async function statusOf(route: string, headers: Record<string, string>): Promise<number> {
  const answer = await ask(route, headers);
  await answer.body?.cancel(); // the answer can be an endless stream
  return answer.status;
}

/** Returns everything that a request could have made or changed. */
async function everything(): Promise<unknown> {
  const { rows } = await sql`
    select (select jsonb_agg(j order by id) from jobs j) as jobs, (select count(*) from job_events) as events,
      (select count(*) from uploads) as uploads, (select jsonb_agg(e.name order by name) from executors e) as executors,
      (select jsonb_agg(t order by id) from access_tokens t) as tokens, (select jsonb_agg(u order by id) from users u) as users,
      (select jsonb_agg(c order by id) from executor_credentials c) as credentials,
      (select jsonb_agg(s.id order by id) from executor_secrets s) as secrets
  `.execute(instance.db);
  return rows[0];
}

/** Returns headers with a secret, in every scheme that the instance knows. */
const inEveryScheme = (secret: string, others: Record<string, string> = {}) =>
  ['Bearer', 'token', 'token-executor', 'token-join'].map((scheme) => ({
    ...others,
    authorization: `${scheme} ${secret}`,
  }));

async function expectRefused(routes: readonly string[], all: readonly Record<string, string>[]) {
  const before = await everything();
  for (const route of routes)
    for (const headers of all)
      expect(await statusOf(route, headers), `${route} ${headers.authorization}`).toBe(401);
  expect(await everything()).toEqual(before);
}

test('every route is for people, for executors, for one job, for code hosts, or for anybody', () => {
  const known = [
    ...[joinRoute, deliveryRoute, ...executorRoutes, ...Object.keys(jobRoutes)],
    ...[...batchJobRoutes, ...publicRoutes],
  ];
  expect(instance.routes.filter((route) => !known.includes(route) && !/ \/\.?api\//.test(route))).toEqual([]);
  expect(apiRoutes().length).toBeGreaterThan(10);
});

describe('routes of people', () => {
  test('refuse the secret of a job and that of executors', () =>
    expectRefused(apiRoutes(), [
      {},
      ...inEveryScheme(job.token, jobHeaders(job)),
      ...inEveryScheme(instance.credential),
    ]));

  test('take an access token', async () => {
    // The route that ends the job comes last.
    const routes = apiRoutes().sort((a, b) => Number(a.endsWith('/cancel')) - Number(b.endsWith('/cancel')));
    for (const route of routes) {
      const status = await statusOf(route, { authorization: `token ${instance.accessToken}` });
      expect([401, 403], route).not.toContain(status);
      expect(status, route).toBeLessThan(500);
    }
  });
});

test('each route of people needs one scope: a token with all other scopes is refused, and one with this scope alone is not', async () => {
  await instance.api('POST', '/api/access/users', { name: 'ann' });
  const scopes = scopeSchema.options.filter((scope) => scope !== 'admin');
  const tokenFor = async (name: string, scopesOfToken: readonly Scope[]) => {
    const answer = await instance.api('POST', '/api/access/tokens', {
      name,
      user: 'ann',
      scopes: scopesOfToken,
    });
    return { authorization: `token ${madeTokenSchema.parse(await answer.json()).secret}` };
  };
  for (const [index, scope] of scopeSchema.options.entries()) {
    const others = await tokenFor(
      `others-${index}`,
      scopes.filter((other) => other !== scope),
    );
    const alone = scope === 'admin' ? null : await tokenFor(`alone-${index}`, [scope]);
    const routes = apiRoutes().filter(
      (route) => accessOf(...(route.split(' ') as [string, string])).scope === scope,
    );
    expect(routes.length, scope).toBeGreaterThan(0);
    for (const route of routes) {
      expect(await statusOf(route, others), route).toBe(403);
      if (alone && !route.endsWith('/cancel'))
        expect([401, 403], route).not.toContain(await statusOf(route, alone));
    }
  }
});

describe('routes of executors', () => {
  test('refuse the secret of a job and that of people', () =>
    expectRefused(executorRoutes, [
      {},
      ...inEveryScheme(job.token, jobHeaders(job)),
      ...inEveryScheme(instance.accessToken),
    ]));

  test('take the credential', async () => {
    for (const route of executorRoutes)
      expect([200, 204], route).toContain(
        await statusOf(route, { authorization: `token-executor ${instance.credential}` }),
      );
  });
});
