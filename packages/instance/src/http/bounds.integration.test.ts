import { once } from 'node:events';
import { type ClientRequest, type IncomingMessage, request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { type Job, joinTokenSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { transaction } from '../db/transaction.ts';
import { leaseBatchJob } from '../testing/batch-job.ts';
import { jobHeaders } from '../testing/executor-client.ts';
import { extendLease, startTestInstance, type TestInstance } from '../testing/instance.ts';
import { joinRoute } from '../testing/job-routes.ts';
import { readStream, streamOf } from './body.ts';
import type { Routes } from './deps.ts';
import { requestLimits } from './limits.ts';
import { prove } from './receive.ts';
import { allRoutes } from './routes.ts';

/** Attacks with requests that do not end. Each runs against an instance with short limits, and again against one without limits. */
const drain = { ...requestLimits.drain, ms: 600, stallMs: 100 };
const short = { ...requestLimits, drain, headMs: 600, drainMs: 600, stallMs: 600 };
const none = { ...requestLimits, drain, headMs: 3_600_000, drainMs: 3_600_000, stallMs: 3_600_000 };
/** Longer than any of the short limits. */
const longMs = 2_000;

/** A route that opens its transaction before the body has come, as no route may. */
const eager: Routes = (scope, { db }) => {
  readStream(scope);
  scope.addHook('onRequest', async (request) => prove(request, 'anybody'));
  scope.post('/test/eager', (request) =>
    transaction(db, async (tx) => {
      await sql`select 1`.execute(tx);
      for await (const _ of streamOf(request));
      return {};
    }),
  );
};

let server: TestServer;
let bounded: TestInstance;
let unbounded: TestInstance;
const opened: ClientRequest[] = [];

beforeAll(async () => {
  server = openTestServer();
  bounded = await startTestInstance(await server.clone(), { limits: short });
  unbounded = await startTestInstance(await server.clone(), { limits: none, routes: [...allRoutes, eager] });
});
afterEach(() => {
  for (const one of opened.splice(0)) one.destroy();
});
afterAll(async () => {
  await bounded.stop();
  await unbounded.stop();
  await server.stop();
});

/** Leases an indexing job and keeps its lease. */
async function leased(instance: TestInstance): Promise<Job> {
  const indexer = { name: 'scip', image: await instance.image(), argv: [] };
  const commit = '0'.repeat(40);
  const job = { queue: 'codeintel', repository: 'acme/payments', commit, indexer, accept: ['vm-emulated'] };
  expect((await instance.api('POST', '/api/jobs', job)).status).toBe(201);
  const held = (await instance.lease({ queues: ['codeintel'] })) as Job;
  await extendLease(instance, held);
  return held;
}

/** Sends the head of a request, and the first bytes of its body if there are some; the rest never comes. */
function begin(
  { url }: TestInstance,
  route: string,
  headers: Record<string, string>,
  { first = '', bytes = 100_000 }: { first?: string; bytes?: number } = {},
): ClientRequest {
  const [method = '', path = ''] = route.split(' ');
  const sent = httpRequest(`${url}${path}`, {
    method,
    headers: { 'content-type': 'application/json', 'content-length': String(bytes), ...headers },
    agent: false,
  });
  sent.on('error', () => {}); // the tests look at answers
  sent.flushHeaders();
  if (first !== '') sent.write(first);
  opened.push(sent);
  return sent;
}

/** Returns the status of the answer, or null when none came in time. */
async function answerTo(sent: ClientRequest, withinMs = longMs): Promise<number | null> {
  const answered = once(sent, 'response').then(
    ([answer]) => {
      (answer as IncomingMessage).resume();
      return (answer as IncomingMessage).statusCode ?? 0;
    },
    () => 0,
  );
  return await Promise.race([answered, delay(withinMs, null)]);
}

/** Every route that takes a body, with the values of its parameters; the job and the image may not exist. */
const withBody = ({ routes }: TestInstance, job: Pick<Job, 'id'>) =>
  routes
    .filter((route) => /^(POST|PUT) /.test(route))
    .map((route) =>
      route
        .replace(':queue', 'codeintel')
        .replace(':digest', `sha256:${'0'.repeat(64)}`)
        .replace(/:(id|token|credential)\b/, String(job.id))
        .replace(':name', 'e1')
        .replace(':tenant', 'admin')
        .replace('/api/repositories/*', `/api/repositories/acme/payments/pack?commit=${'0'.repeat(40)}`)
        .replace(
          '/api/batch-specs/:spec/files/*',
          `/api/batch-specs/${'0'.repeat(32)}/files/a?modifiedAt=2026-01-02T03:04:05Z`,
        )
        .replace('/batch-changes/:spec', `/batch-changes/${'0'.repeat(32)}`)
        .replace('/hooks/*', '/hooks/acme/payments')
        .replace(
          '/api/histories/*',
          `/api/histories/acme/payments?branch=refs/heads/main&commit=${'0'.repeat(40)}`,
        )
        .replace('/git/*', '/git/acme/payments/git-upload-pack')
        .replace('/stepDiff', '/stepDiff?step=0')
        .replace('/input', '/input?offset=0')
        .replace('/appendLog', '/appendLog?entry=1&stream=stdout&offset=0')
        .replace('/upload', `/upload?repository=acme/payments&commit=${'0'.repeat(40)}`),
    );

describe('before a request has proved a secret', () => {
  /** Returns whether a connection on which only this was sent is still open later. */
  const isOpen = async ({ url }: TestInstance, head: string) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    socket.on('error', () => {});
    socket.write(head);
    socket.resume();
    const closed = once(socket, 'close').then(() => false);
    const open = await Promise.race([closed, delay(longMs, true)]);
    socket.destroy();
    return open;
  };

  test('no route waits for its body: the refusal comes when the sender pauses', async () => {
    const routes = [...withBody(bounded, { id: 1 }), 'POST /api/unknown', 'POST /.executors/unknown'];
    expect(routes.length).toBeGreaterThan(25);
    const statuses = await Promise.all(routes.map((route) => answerTo(begin(bounded, route, {}))));
    for (const [at, status] of statuses.entries()) expect([401, 404, 405], routes[at]).toContain(status);
  });

  test('its body ends soon after the refusal', async () => {
    const head =
      'POST /.executors/queue/heartbeat HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n';
    expect(await Promise.all([isOpen(bounded, head), isOpen(unbounded, head)])).toEqual([false, true]);
  });

  test('it has a head that comes in time', async () => {
    const heads = ['', 'POST /api/jobs HTTP/1.1\r\nhost: localhost\r\n'];
    expect(await Promise.all(heads.map((head) => isOpen(bounded, head)))).toEqual([false, false]);
    expect(await Promise.all(heads.map((head) => isOpen(unbounded, head)))).toEqual([true, true]);
  });
});

describe('a body', () => {
  /** Begins a request on every route that takes a body, with the right secret, and returns the answers by route. */
  async function stalled(instance: TestInstance): Promise<Map<string, number | null>> {
    const job = await leased(instance);
    const added = await instance.api('POST', '/api/access/join-tokens', { name: 'lab' });
    const { token } = joinTokenSchema.parse(await added.json());
    const secretFor = (route: string): Record<string, string> => {
      if (/ \/\.?api\//.test(route)) return { authorization: `token ${instance.accessToken}` };
      if (route.includes(' /hooks/'))
        return { 'x-github-event': 'push', 'x-hub-signature-256': `sha256=${'0'.repeat(64)}` };
      if (route === joinRoute) return { authorization: `token-join ${token}` };
      return /dequeue|heartbeat|leave/.test(route)
        ? { authorization: `token-executor ${instance.credential}` }
        : jobHeaders(job);
    };
    // An indexing job declares no artifact and no steps, so it may send none.
    const routes = withBody(instance, job).filter((route) => !/lsif|test|artifact|stepDiff/.test(route));
    await instance.run({ artifacts: ['out'] });
    const withArtifact = (await instance.lease()) as Job;
    await extendLease(instance, withArtifact);
    const artifact = 'POST /.executors/queue/runs/artifact?path=out';
    const withSteps = await leaseBatchJob(instance);
    const diff = 'POST /.executors/queue/batches/stepDiff?step=0';
    const others = new Map([
      [artifact, jobHeaders(withArtifact)],
      [diff, jobHeaders(withSteps)],
    ]);
    const statuses = [...routes, ...others.keys()].map(async (route) => {
      const secret = others.get(route) ?? secretFor(route);
      const sent = begin(instance, route, secret, { first: '{' });
      return [route, await answerTo(sent)] as const;
    });
    return new Map(await Promise.all(statuses));
  }

  test('that stalls is refused on every route, and without the limit it is waited for', async () => {
    for (const [route, status] of await stalled(bounded)) expect(status, route).toBe(408);
    for (const [route, status] of await stalled(unbounded)) expect(status, route).toBe(null);
  });

  test('that trickles is refused too', async () => {
    const trickle = async (instance: TestInstance) => {
      const headers = { authorization: `token ${instance.accessToken}` };
      const sent = begin(instance, `PUT /api/blobs/sha256:${'1'.repeat(64)}`, headers);
      const timer = setInterval(() => sent.write('x'), 50);
      const status = await answerTo(sent);
      clearInterval(timer);
      return status;
    };
    expect(await Promise.all([trickle(bounded), trickle(unbounded)])).toEqual([408, null]);
  });

  test('is kept in memory only within the share of its token', async () => {
    const limits = { ...short, memoryPerHolder: 5_000_000 };
    const instance = await startTestInstance(await server.clone(), { limits });
    try {
      const job = await leased(instance);
      const entry = 'POST /.executors/queue/codeintel/addExecutionLogEntry';
      const bytes = 2_000_000;
      const send = async (to: TestInstance, of: Job) => {
        const sent = Array.from({ length: 3 }, () => begin(to, entry, jobHeaders(of), { first: '{', bytes }));
        return await Promise.all(sent.map((one) => answerTo(one, 400)));
      };
      const statuses = await send(instance, job);
      expect(statuses.filter((status) => status === null)).toHaveLength(2);
      expect(statuses).toContain(429);
      expect(await send(unbounded, await leased(unbounded))).toEqual([null, null, null]);
      // What was given up is free again.
      for (const one of opened.splice(0)) one.destroy();
      await expect
        .poll(async () => (await instance.executor().job(job).addEntry(largeEntry)).status)
        .toBe(200);
    } finally {
      await instance.stop();
    }
  });
});

/** Two million bytes of a log entry, which arrive in many parts. */
const largeEntry = {
  key: 'step',
  command: [],
  startTime: '2026-01-02T03:04:05Z',
  out: 'x'.repeat(2_000_000),
};

describe('unfinished uploads', () => {
  const upload = `POST /.executors/scip/upload?repository=acme/payments&commit=${'0'.repeat(40)}`;
  const count = 20;

  /** Returns what a person and an executor get meanwhile; null when they get no answer. */
  async function others(instance: TestInstance): Promise<Record<string, number | null>> {
    const ask = (asked: Promise<Response>) =>
      Promise.race([asked.then(({ status }) => status), delay(longMs, null)]);
    const [status, heartbeat, lease, jobs] = await Promise.all([
      ask(instance.api('GET', '/api/status')),
      ask(instance.executor().heartbeat({ queueNames: ['runs'] })),
      ask(instance.executor().dequeue({ queues: ['runs'] })),
      ask(instance.api('GET', '/api/jobs')),
    ]);
    return { status, heartbeat, lease, jobs };
  }

  test('of one token are refused beyond the first, and keep nobody waiting', async () => {
    const job = await leased(unbounded);
    const sent = Array.from({ length: count }, () =>
      begin(unbounded, upload, jobHeaders(job), { first: 'x' }),
    );
    const statuses = await Promise.all(sent.map((one) => answerTo(one, 1_000)));
    expect(statuses.filter((status) => status === null)).toHaveLength(1);
    expect(statuses.filter((status) => status === 429)).toHaveLength(count - 1);
    expect(await others(unbounded)).toEqual({ status: 200, heartbeat: 200, lease: 204, jobs: 200 });
  });

  test('of many tokens keep nobody waiting', async () => {
    const jobs = [];
    for (let n = 0; n < count; n += 1) jobs.push(await leased(unbounded));
    const sent = jobs.map((job) => begin(unbounded, upload, jobHeaders(job), { first: 'x' }));
    const statuses = await Promise.all(sent.map((one) => answerTo(one, 1_000)));
    expect(statuses).toEqual(Array(count).fill(null));
    expect(await others(unbounded)).toEqual({ status: 200, heartbeat: 200, lease: 204, jobs: 200 });
  });

  test('on a route that begins its transaction first keep everybody waiting but executors and the status', async () => {
    for (let n = 0; n < count; n += 1) begin(unbounded, 'POST /test/eager', {}, { first: 'x' });
    await delay(500);
    expect(await others(unbounded)).toEqual({ status: 200, heartbeat: 200, lease: 204, jobs: null });
  });
});
