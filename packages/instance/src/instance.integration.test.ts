import type { Job } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { acceptFirstSecrets } from './auth/first-secrets.ts';
import { newSecret, secretHash } from './auth/secret.ts';
import { openTestServer, type TestServer } from './db/testing.ts';
import type { Routes } from './http/deps.ts';
import { prove } from './http/receive.ts';
import { allRoutes } from './http/routes.ts';
import { fenced, recordUpload } from './queue/queue.ts';
import { jobHeaders } from './testing/executor-client.ts';
import { startTestInstance, type TestInstance } from './testing/instance.ts';

const commit = '0123456789abcdef0123456789abcdef01234567';
const repository = 'github.com/acme/payments';

/** Answers with the lease that a job's token stands for, and takes an upload without an index. */
const stubRoutes: Routes = (scope, { jobAuth, db }) => {
  scope.get('/test/git/*', async (request, reply) => {
    const named = (request.params as { '*': string })['*'].replace(/\/info\/refs$/, '');
    return reply.send(await jobAuth.authenticateJob(request, { repository: named }));
  });
  scope.addHook('onRequest', async (request) => prove(request, 'test'));
  scope.post('/test/upload', async (request, reply) => {
    const lease = await jobAuth.authenticateUpload(request);
    await fenced(db, lease, (tx, job) => recordUpload(tx, job, 77));
    return reply.code(202).send({ id: '77' });
  });
};

let server: TestServer;
let instance: TestInstance;

beforeAll(async () => {
  server = openTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  instance = await startTestInstance(await server.clone(), {
    routes: [...allRoutes, stubRoutes],
    openCommits: async () => ({
      find: (name, id) => (name === repository && id === commit ? '/nonexistent' : null),
      add: async () => false,
    }),
  });
  return () => instance.stop();
});

async function createIndexing(changes: object = {}): Promise<Response> {
  const indexer = { name: 'scip-typescript', image: await instance.image(), argv: ['index'] };
  const request = { queue: 'codeintel', repository, commit, root: 'web', indexer, accept: ['vm-emulated'] };
  return await instance.api('POST', '/api/jobs', { ...request, ...changes });
}
async function leaseIndexing(): Promise<Job> {
  expect((await createIndexing()).status).toBe(201);
  return (await instance.lease({ queues: ['codeintel'] })) as Job;
}
const git = (name: string, headers: Record<string, string>) =>
  fetch(`${instance.url}/test/git/${name}/info/refs`, { headers });

describe('an indexing job', () => {
  test('is handed out with its commit, its indexer and the file to upload, and with no credential but its token', async () => {
    const job = await leaseIndexing();
    expect(job).toMatchObject({
      queue: 'codeintel',
      repositoryName: repository,
      commit,
      dockerSteps: [{ key: 'indexer', dir: 'web', argv: ['index'] }],
      fumehood: { upload: { file: 'web/index.scip', root: 'web', indexer: 'scip-typescript' } },
    });
    expect(JSON.stringify(job)).not.toContain(instance.credential);
  });

  test('of a commit that the instance does not have is refused, with a remedy', async () => {
    const answer = await createIndexing({ commit: commit.replace('0', 'f') });
    expect(answer.status).toBe(404);
    expect(await answer.json()).toMatchObject({
      error: { code: 'commit_not_found', remedy: expect.stringContaining('/pack?commit=') },
    });
  });
});

describe("a job's token", () => {
  test('stands for its repository, commit, attempt and executor', async () => {
    const answer = await git(repository, jobHeaders(await leaseIndexing()));
    expect(await answer.json()).toMatchObject({ repository, commit, attempt: 1, executor: 'e1' });
  });

  test.each(['github.com/acme/other', '', 'github.com/acme/payments/'])(
    'does not read the repository %j',
    async (name) => {
      expect((await git(name, jobHeaders(await leaseIndexing()))).status).toBe(403);
    },
  );

  test('of a job without a repository reads no repository', async () => {
    await instance.run();
    const job = (await instance.lease()) as Job;
    expect((await git('', jobHeaders(job))).status).toBe(403);
  });

  test.each(['Bearer', 'token', 'token-executor'])(
    'with the scheme %s uploads, which its job names then, until the lease ends',
    async (scheme) => {
      const job = await leaseIndexing();
      const upload = () =>
        fetch(`${instance.url}/test/upload`, {
          method: 'POST',
          headers: { authorization: `${scheme} ${job.token}` },
        });
      expect((await upload()).status).toBe(202);
      const record = await instance.api('GET', `/api/jobs/${job.id}`);
      expect(await record.json()).toMatchObject({ uploadId: 77 });
      await sql`update jobs set lease_expires_at = clock_timestamp()`.execute(instance.db);
      expect((await upload()).status).toBe(401);
    },
  );

  test('is the only secret that an upload accepts: neither a credential nor an access token is', async () => {
    await leaseIndexing();
    for (const secret of [instance.credential, instance.accessToken]) {
      const headers = { authorization: `token-executor ${secret}` };
      const answer = await fetch(`${instance.url}/test/upload`, { method: 'POST', headers });
      expect(answer.status).toBe(401);
    }
  });
});

test('an upload whose lease is lost meanwhile commits nothing', async () => {
  const job = await leaseIndexing();
  const lease = {
    jobId: job.id,
    attempt: 1,
    executor: 'e1',
    queue: 'codeintel',
    repository,
    commit,
  } as const;
  await sql`update jobs set lease_expires_at = clock_timestamp()`.execute(instance.db);
  await expect(fenced(instance.db, lease, (tx, row) => recordUpload(tx, row, 78))).rejects.toMatchObject({
    code: 'lease_lost',
    status: 404,
  });
  expect(await (await instance.api('GET', `/api/jobs/${job.id}`)).json()).toMatchObject({ uploadId: null });
});

test('the routes of uploads ask for an access token', async () => {
  expect((await instance.api('GET', '/api/uploads/1')).status).toBe(404);
  expect((await fetch(`${instance.url}/api/uploads/1`)).status).toBe(401);
  const wrong = await instance.api('GET', '/api/uploads/1', undefined, { authorization: 'token wrong' });
  expect(await wrong.json()).toMatchObject({ error: { remedy: expect.stringContaining('run/token') } });
});

test('new first secrets end the former ones, and an executor keeps its name with the new one', async () => {
  await instance.lease();
  const [token, credential] = [newSecret(), newSecret()];
  await acceptFirstSecrets(instance.db, {
    accessTokenSha256: secretHash(token),
    executorCredentialSha256: secretHash(credential),
  });
  expect((await instance.api('GET', '/api/status')).status).toBe(401);
  const headers = { authorization: `token ${token}` };
  expect((await instance.api('GET', '/api/status', undefined, headers)).status).toBe(200);
  const ask = (secret: string) => instance.executor({ credential: secret }).dequeue({ queues: [] });
  expect((await ask(instance.credential)).status).toBe(401);
  expect((await ask(credential)).status).toBe(204);
});
