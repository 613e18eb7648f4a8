import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import type { Job } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../../db/testing.ts';
import { type GitTarget, startGitTarget } from '../../testing/git-target.ts';
import { leaseBatchJob } from '../../testing/batch-job.ts';
import { jobHeaders } from '../../testing/executor-client.ts';
import type { TestInstance } from '../../testing/instance.ts';
import {
  batchJobRoutes,
  executorRoutes,
  jobRoutes,
  joinRoute,
  publicRoutes,
  requestOf,
  sendTo,
} from '../../testing/job-routes.ts';
import { makeSource, type Source } from '../../testing/source.ts';

/**
 * Every route of a job token is tried with every token that is not of this lease. The request always names its own job correctly, in
 * path and body, so that nothing but the token decides.
 */
let server: TestServer;
let source: Source;
let target: GitTarget;
let instance: TestInstance;

/** Long leases, which the tests share, because every request below is refused and changes none of them. */
let job: Job;
/** A job of another repository, with another image. */
let other: Job;
let ofAnotherExecutor: Job;
/** A job that was leased again, with the token of its first attempt. */
let again: Job;
let formerToken: string;
let ended: Job;

beforeAll(async () => {
  server = openTestServer();
  source = makeSource();
  target = await startGitTarget(server);
  instance = target.instance;
  await target.put(source.commit, source.alone(source.commit));
  await target.put(source.secret, source.alone(source.secret), otherRepository);
  job = await leased();
  other = await leased(another);
  ofAnotherExecutor = await leased({ ...another, executor: 'e2' });
  ({ token: formerToken } = again = await leased());
  await expire(again, '1 minute');
  again = await target.next({ waitMs: 10_000 });
  expect(again).toMatchObject({ fumehood: { attempt: 2 } });
  ended = await leased();
  expect((await send('POST /.executors/queue/:queue/markComplete', ended)).status).toBe(204);
});
afterAll(async () => {
  await target.stop();
  await server.stop();
  source.remove();
});

const otherRepository = 'acme/other';
const another = { repository: otherRepository, image: 'another image archive' };

/** Leases a job and adds a log entry. */
async function leased(
  options: { repository?: string; image?: string; executor?: string } = {},
): Promise<Job> {
  const commit = options.repository === otherRepository ? source.secret : source.commit;
  const made = await target.lease(commit, options);
  const { executor = 'e1' } = options;
  const headers = jobHeaders(made, executor);
  const added = await sendTo(instance.url, addEntry, made, headers, { executor });
  expect(added.status).toBe(200);
  return made;
}
const addEntry = 'POST /.executors/queue/:queue/addExecutionLogEntry';

async function expire({ id }: Job, ago: string): Promise<void> {
  await sql`update jobs set lease_expires_at = clock_timestamp() - ${ago}::interval where id = ${id}`.execute(
    instance.db,
  );
}

const send = (route: string, to: Job, headers = jobHeaders(to), options: { queue?: string } = {}) =>
  sendTo(instance.url, route, to, headers, options);

/** Returns everything that the routes could have written for these jobs. */
async function traces(...jobs: Job[]): Promise<unknown> {
  const { rows } = await sql`
    select id, state in ('queued', 'processing') as lives, upload_id,
      (select count(*) from job_events where job_id = jobs.id and type = 'output') as outputs,
      (select jsonb_agg(e) from log_entries e where job_id = jobs.id) as entries,
      (select jsonb_agg(a.left_over) from attempts a where job_id = jobs.id) as results,
      (select count(*) from uploads where job_id = jobs.id) as uploads,
      (select count(*) from job_receipts where job_id = jobs.id) as receipts,
      (select count(*) from batch_step_diffs where job_id = jobs.id) as diffs
    from jobs where id = any(${jobs.map(({ id }) => id)}) order by id
  `.execute(instance.db);
  expect(rows).toHaveLength(jobs.length);
  return rows;
}

test('the tests know every route below /.executors', () => {
  const found = instance.routes.filter((route) => route.includes(' /.executors'));
  const known = [joinRoute, ...Object.keys(jobRoutes), ...batchJobRoutes, ...executorRoutes, ...publicRoutes];
  expect(found.sort()).toEqual(known.filter((route) => route.includes(' /.executors')).sort());
});

interface Forged {
  /** The job that the request names. */
  readonly to: Job;
  readonly headers: Record<string, string>;
  readonly queue?: string;
}
const withSecret = (to: Job, authorization: string): Forged => ({
  to,
  headers: { ...jobHeaders(to), authorization },
});
const forged: Record<string, () => Forged | Promise<Forged>> = {
  'no token': () => {
    const { authorization: _, ...headers } = jobHeaders(job);
    return { to: job, headers };
  },
  'an empty token': () => withSecret(job, 'Bearer '),
  "the executors' credential": () => withSecret(job, `token-executor ${instance.credential}`),
  "the executors' credential as a bearer": () => withSecret(job, `Bearer ${instance.credential}`),
  'an access token': () => withSecret(job, `token ${instance.accessToken}`),
  'an access token as a bearer': () => withSecret(job, `Bearer ${instance.accessToken}`),
  "another job's token": () => withSecret(job, `Bearer ${other.token}`),
  "another job's token and number": () => ({ to: job, headers: jobHeaders(other) }),
  'a token that another executor leased': () => withSecret(job, `Bearer ${ofAnotherExecutor.token}`),
  'its token, by another executor': () => ({ to: job, headers: jobHeaders(job, 'e2') }),
  'its token, in another queue': () => ({ to: job, headers: jobHeaders(job), queue: 'runs' }),
  'the token of the former attempt': () => withSecret(again, `Bearer ${formerToken}`),
  'the token of a job that has ended': () => ({ to: ended, headers: jobHeaders(ended) }),
  'the token of a canceled job': async () => {
    const canceled = await leased();
    expect((await instance.api('POST', `/api/jobs/${canceled.id}/cancel`)).status).toBe(200);
    return { to: canceled, headers: jobHeaders(canceled) };
  },
  'the token of an expired lease': async () => {
    const late = await leased();
    await expire(late, '0');
    return { to: late, headers: jobHeaders(late) };
  },
};

const log = ['addExecutionLogEntry', 'updateExecutionLogEntry', 'appendLog', 'receipts'].map(
  (name) => `POST /.executors/queue/:queue/${name}`,
);
const uploadTests = ['HEAD /.executors/scip/upload', 'HEAD /.executors/lsif/upload'];
const uploads = [...uploadTests, 'POST /.executors/scip/upload', 'POST /.executors/lsif/upload'];
const routesWithoutQueue = [...uploads, ...Object.keys(jobRoutes).filter((route) => route.includes('/git/'))];
/** Routes whose requests name no job, so that the token alone decides which job they read and write, and the log of a canceled job. */
const accepted: Record<string, readonly string[]> = {
  "another job's token": uploadTests,
  "another job's token and number": [
    ...uploadTests,
    'GET /.executors/queue/:queue/input',
    'HEAD /.executors/queue/:queue/input',
    'POST /.executors/queue/:queue/appendLog',
  ],
  'a token that another executor leased': uploadTests,
  'the token of a canceled job': log,
  'its token, by another executor': uploads, // an upload names no executor
  'its token, in another queue': routesWithoutQueue,
};

describe.each(Object.keys(forged))('%s', (who) => {
  const routes = Object.keys(jobRoutes).filter((route) => !accepted[who]?.includes(route));
  test.each(routes)('is refused by %s, and nothing is written', async (route) => {
    const { to, headers, queue } = await (forged[who] as () => Promise<Forged>)();
    const before = await traces(to, other, ofAnotherExecutor);
    const answer = await send(route, to, headers, { ...(queue && { queue }) });
    expect([401, 403, 404]).toContain(answer.status);
    expect(await traces(to, other, ofAnotherExecutor)).toEqual(before);
  });
});

const posted = Object.keys(jobRoutes).filter((route) => route.startsWith('POST '));
test.each(posted)('%s refuses a wrong token before the body arrives', async (route) => {
  const { path } = await requestOf(route, job);
  const headers = { ...jobHeaders({ ...job, token: 'wrong' }), 'content-length': '1000000' };
  const request = httpRequest(`${instance.url}${path}`, { method: 'POST', headers });
  request.flushHeaders();
  const [answer] = (await once(request, 'response')) as [IncomingMessage];
  expect(answer.statusCode).toBe(401);
  request.destroy();
});

test.each(Object.keys(jobRoutes))('%s accepts the token of the job', async (route) => {
  // Only a run brings something back, and only a job of a batch change gets its steps one by one.
  const of = /[/](artifact|nextStep|stepDiff)$/.exec(route)?.[1];
  const queue = of === undefined ? 'codeintel' : of === 'artifact' ? 'runs' : 'batches';
  if (queue === 'runs') await instance.run({ artifacts: ['out'] });
  const own =
    queue === 'runs'
      ? ((await instance.lease()) as Job)
      : await (queue === 'batches' ? leaseBatchJob(instance) : leased());
  const { status } = await send(route, own, jobHeaders(own), { queue });
  expect([200, 202, 204]).toContain(status);
});

const sample = { id: 4711, repositoryName: '', commit: '' } as Job;
const requests = await Promise.all(
  posted.map(async (route) => ({ route, ...(await requestOf(route, sample)) })),
);
const naming = requests.filter(({ body }) => body.includes('4711')).map(({ route }) => route);
test.each(naming)('%s refuses a body that names another job or executor than the token', async (route) => {
  expect((await send(route, other, jobHeaders(job))).status).toBe(403);
  const byAnother = await sendTo(instance.url, route, job, jobHeaders(job), { executor: 'e2' });
  expect(byAnother.status).toBe(403);
});

test('the token of a canceled job is good for its log alone, until its executor releases the job', async () => {
  const canceled = await leased();
  expect((await instance.api('POST', `/api/jobs/${canceled.id}/cancel`)).status).toBe(200);
  for (const route of log) expect([200, 204]).toContain((await send(route, canceled)).status);
  expect((await instance.executor().heartbeat({ queueNames: ['codeintel', 'runs'] })).status).toBe(200);
  for (const route of log) expect((await send(route, canceled)).status).toBe(401);
});

test('a token cannot read a blob that its job does not name', async () => {
  const bytes = Buffer.from('of somebody else');
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  expect((await instance.api('PUT', `/api/blobs/${digest}`, bytes)).status).toBe(201);
  expect((await instance.executor().job(job).blob(digest)).status).toBe(404);
});

test('a token is stored as its hash alone', async () => {
  const { rows } = await sql<{ text: string }>`
    select jobs::text || coalesce((select string_agg(e::text, '') from job_events e where job_id = jobs.id), '') as text
    from jobs where id = ${job.id}
  `.execute(instance.db);
  expect(rows[0]?.text).not.toContain(job.token);
});
