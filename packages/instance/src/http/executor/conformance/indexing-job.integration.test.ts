import { execFileSync } from 'node:child_process';
import { type Job, jobSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../../../db/testing.ts';
import { jobHeaders } from '../../../testing/executor-client.ts';
import { startTestInstance, type TestInstance } from '../../../testing/instance.ts';
import { emptyIndex, executorRoutes, jobRoutes, sendTo } from '../../../testing/job-routes.ts';
import { addIndexing, answerOf, commit, indexer, upstreamExecutor } from './upstream.ts';

/** Jobs of the queue `codeintel` as upstream's executors get them, and the token that their last step uploads with. */
let server: TestServer;
let instance: TestInstance;
let executor: ReturnType<typeof upstreamExecutor>;
beforeAll(async () => {
  server = openTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  instance = await startTestInstance(await server.clone());
  executor = upstreamExecutor(instance);
  return () => instance.stop();
});

const stepOf = (job: Job, key: string) => job.dockerSteps?.find((step) => step.key === key);
const variable = (job: Job, name: string) =>
  stepOf(job, 'upload')
    ?.env?.find((line) => line.startsWith(`${name}=`))
    ?.slice(name.length + 1);
const tokenOf = (job: Job) => (variable(job, 'SRC_HEADER_AUTHORIZATION') ?? '').split(' ')[1] ?? '';

describe('an indexing job', () => {
  test('indexes, then uploads, in its directory', async () => {
    const job = await executor.leased({ root: 'web' });
    const src = `src code-intel upload -no-progress -repo acme/payments -commit ${commit} -root web -upload-route /.executors/scip/upload -file index.scip -associated-index-id ${job.id} -max-payload-size 4096`;
    expect(job.dockerSteps).toMatchObject([
      { key: 'indexer', image: indexer.image, dir: 'web', commands: indexer.commands },
      { key: 'upload', image: 'src:1', dir: 'web', commands: [src] },
    ]);
    expect(variable(job, 'SRC_ENDPOINT')).toBe('https://fumehood.test');
    expect(job).toMatchObject({ repositoryDirectory: '', shallowClone: true, files: {}, cliSteps: null });
  });

  test('tells its indexer the size of the machine, but not its upload', async () => {
    await addIndexing(instance);
    const size = { numCPUs: 4, memory: '0 KB', diskSpace: '30G' };
    const job = jobSchema.parse(await (await executor.dequeue('codeintel', size)).json());
    expect(stepOf(job, 'indexer')?.env).toEqual([
      'VM_CPUS=4',
      'VM_DISK=30.0 GB',
      'VM_DISK_GB=30',
      'VM_DISK_MB=30720',
    ]);
    expect(stepOf(job, 'upload')?.env).toHaveLength(2);
  });

  test('gives its steps the secrets that it names, but not its upload', async () => {
    await instance.api('PUT', '/api/secrets/NPM_TOKEN', { value: 'npm-value' });
    const steps = [{ image: 'node:22', commands: ['npm ci'] }];
    const job = await executor.leased({ steps, secrets: ['NPM_TOKEN'] });
    expect(stepOf(job, 'pre-index.0')?.env).toContain('NPM_TOKEN=npm-value');
    expect(stepOf(job, 'indexer')?.env).toContain('NPM_TOKEN=npm-value');
    expect(JSON.stringify(stepOf(job, 'upload'))).not.toContain('npm-value');
    expect(job.redactedValues).toMatchObject({
      'npm-value': '[secret NPM_TOKEN]',
      [tokenOf(job)]: 'PASSWORD_REMOVED',
    });
    const request = { queue: 'codeintel', repository: 'a', commit, indexer, secrets: ['NOPE'] };
    expect((await instance.api('POST', '/api/jobs', request)).status).toBe(404);
  });

  // The git route has one commit, and no tags.
  test('fetches no tags, whatever its indexer', async () => {
    const job = await executor.leased({ indexer: { ...indexer, image: 'sourcegraph/lsif-go:latest' } });
    expect(job.fetchTags).toBe(false);
  });

  test('redacts its upload token in the log', async () => {
    const job = await executor.leased();
    const token = tokenOf(job);
    expect(token).toMatch(/^[0-9a-f]{40}$/);
    expect(job.redactedValues).toEqual({
      [`token-executor ${token}`]: 'token-executor REDACTED',
      [token]: 'PASSWORD_REMOVED',
    });
  });

  test('quotes its file names for the shell', async () => {
    const outfile = `it's $HOME, "here"; exit.scip`;
    const job = await executor.leased({ root: 'a b', outfile });
    const [command = ''] = stepOf(job, 'upload')?.commands ?? [];
    const words = execFileSync('sh', ['-c', `src() { printf '%s\\n' "$@"; }\n${command}`])
      .toString()
      .split('\n');
    expect(words[words.indexOf('-root') + 1]).toBe('a b');
    expect(words[words.indexOf('-file') + 1]).toBe(outfile);
  });

  test('whose image is an archive on the instance goes only to executors with the native extension', async () => {
    const archive = { name: 'x', image: await instance.image(), argv: ['index'] };
    await addIndexing(instance, { indexer: archive, accept: ['container', 'vm-emulated'] });
    expect((await executor.dequeue('codeintel')).status).toBe(204);
    const native = await instance.lease({ queues: ['codeintel'] });
    expect(native?.dockerSteps?.map((step) => step.key)).toEqual(['indexer']);
    expect(native?.redactedValues).toBeNull();
    const { rows } = await sql`select from upload_tokens`.execute(instance.db);
    expect(rows).toEqual([]);
  });

  test('whose image is a reference goes to an executor that names no tier only if it accepts the weakest one alone', async () => {
    for (const accept of [undefined, ['vm-hardware'], ['container', 'vm-emulated']]) {
      await addIndexing(instance, { accept });
      expect((await executor.dequeue('codeintel')).status).toBe(204);
      const native = await instance.lease({ queues: ['codeintel'], tiers: ['vm-hardware', 'vm-emulated'] });
      expect(native?.dockerSteps).toMatchObject([{ key: 'indexer', image: indexer.image }]);
      await instance
        .executor()
        .job(native as Job)
        .complete();
    }
    await addIndexing(instance);
    expect(await instance.lease({ queues: ['codeintel'] })).toBeNull();
    expect((await executor.dequeue('codeintel')).status).toBe(200);
  });

  test.each(['-v', 'a b', 'UPPER/case', 'sha256:abc', 'name:', 'http://host/x'])(
    'whose image is %j is refused, and told what an image may be',
    async (image) => {
      const request = { queue: 'codeintel', repository: 'a', commit, indexer: { ...indexer, image } };
      const answer = await instance.api('POST', '/api/jobs', request);
      expect(answer.status).toBe(400);
      expect(await answer.text()).toContain('body/indexer/image must be a reference to an image');
    },
  );
});

/** Sends an index as the upload step does. */
function upload(job: Job, changes: Record<string, string> = {}, index = emptyIndex, token = tokenOf(job)) {
  const query = { repository: 'acme/payments', commit, associatedIndexId: String(job.id), indexerName: 'x' };
  return answerOf(withUploadToken(job, token).upload({ ...query, ...changes }, index));
}
const withUploadToken = (job: Job, token: string) =>
  instance.executor().job(job, {
    headers: { authorization: `token-executor ${token}`, 'content-type': 'application/x-protobuf+scip' },
  });
const stored = async () =>
  (await sql<{ id: number }>`select id, root from uploads`.execute(instance.db)).rows;

describe('the token of an upload step', () => {
  test('uploads one index, and is answered with its number as a string', async () => {
    const job = await executor.leased({ root: 'web' });
    const [status, text] = await upload(job, { root: 'web' });
    expect(status).toBe(202);
    const { id } = JSON.parse(text) as { id: string };
    expect(id).toMatch(/^[1-9]\d*$/);
    expect(await stored()).toEqual([{ id: Number(id), root: 'web' }]);
    expect(await (await instance.api('GET', `/api/jobs/${job.id}`)).json()).toMatchObject({
      uploadId: Number(id),
    });
    expect(await upload(job, { root: 'web' })).toEqual([401, 'invalid token']);
    expect(await stored()).toHaveLength(1);
  });

  test('is tested with HEAD', async () => {
    const job = await executor.leased();
    const head = (token: string) => withUploadToken(job, token).upload({});
    expect((await head(tokenOf(job))).status).toBe(200);
    // Upstream accepts the secret of executors here; ours is for leases and heartbeats alone.
    expect((await head(instance.credential)).status).toBe(401);
  });

  test.each<[string, Record<string, string>, number]>([
    ['another directory', { root: 'api' }, 403],
    ['another commit', { commit: 'f'.repeat(40) }, 403],
    // Upstream answers with 404 for a repository that it does not have.
    ['another repository', { repository: 'acme/other' }, 403],
    ["another job's number", { associatedIndexId: '4711' }, 403],
    ['a commit by name', { commit: 'HEAD' }, 400],
  ])('is refused for %s, and stays valid', async (_, changes, status) => {
    const job = await executor.leased();
    expect((await upload(job, changes))[0]).toBe(status);
    expect(await stored()).toEqual([]);
    expect((await upload(job, { root: '.' }))[0]).toBe(202);
  });

  test('stays valid when the body is no index', async () => {
    const job = await executor.leased();
    expect((await upload(job, {}, Buffer.from('no gzip')))[0]).toBe(400);
    expect((await upload(job))[0]).toBe(202);
  });

  test('uploads once when four requests use it at once', async () => {
    const job = await executor.leased();
    const answers = await Promise.all(Array.from({ length: 4 }, () => upload(job)));
    expect(answers.filter(([status]) => status === 202)).toHaveLength(1);
    for (const [status] of answers) expect(status).toBeOneOf([202, 401, 403, 429]);
    expect(await stored()).toHaveLength(1);
  });

  test('is refused by every other route, in every scheme', async () => {
    const job = await executor.leased();
    // The route of blobs takes the digest from the first step.
    const sample = { ...job, dockerSteps: [{ image: `blob:${await instance.image()}` }] };
    for (const scheme of ['Bearer', 'token', 'token-executor']) {
      const headers = { ...jobHeaders(job, 'up'), authorization: `${scheme} ${tokenOf(job)}` };
      for (const route of Object.keys(jobRoutes).filter((one) => !one.endsWith('/upload'))) {
        const answer = await sendTo(instance.url, route, sample, headers, { executor: 'up' });
        expect(answer.status, route).toBe(401);
      }
      const apiRoutes = instance.routes.filter((route) => / \/api\/(?!openapi)/.test(route));
      for (const route of [...executorRoutes, ...apiRoutes]) {
        const [method = '', path = ''] = route.replace(':queue', 'codeintel').split(' ');
        const body = method === 'POST' || method === 'PUT' ? { body: '{"executorName":"up"}' } : {};
        const answer = await fetch(`${instance.url}${path}`, { method, headers, ...body });
        expect(answer.status, route).toBe(401);
      }
    }
    expect((await upload(job))[0]).toBe(202);
  });

  test.each<[string, (job: Job) => Promise<unknown>]>([
    ['has run out', () => sql`update jobs set lease_expires_at = clock_timestamp()`.execute(instance.db)],
    ['has ended by a mark', (job) => executor.onJob(job, 'markComplete')],
    ['is canceled', (job) => instance.api('POST', `/api/jobs/${job.id}/cancel`)],
    [
      'is followed by one without an upload token',
      () => sql`update jobs set attempt = attempt + 1`.execute(instance.db),
    ],
    [
      'is of a revoked credential',
      () => sql`update executor_credentials set revoked_at = clock_timestamp()`.execute(instance.db),
    ],
  ])('is dead when the lease %s', async (_, end) => {
    const job = await executor.leased();
    await end(job);
    expect(await upload(job)).toEqual([401, 'invalid token']);
    expect(await stored()).toEqual([]);
  });

  test('of an earlier attempt is dead while the next one runs', async () => {
    const first = await executor.leased();
    await sql`update jobs set lease_expires_at = clock_timestamp() - interval '1 minute'`.execute(
      instance.db,
    );
    const next = async () => {
      await executor.beat();
      return (await executor.dequeueAny(['codeintel'])).status;
    };
    await expect.poll(next, { timeout: 20_000, interval: 200 }).toBe(200);
    expect(await upload(first)).toEqual([401, 'invalid token']);
  });

  test('is stored as its hash alone', async () => {
    const job = await executor.leased();
    const { rows } = await sql<{ text: string }>`
      select concat(jobs, upload_tokens, (select string_agg(e::text, '') from job_events e)) as text
      from jobs join upload_tokens on job_id = jobs.id
    `.execute(instance.db);
    expect(rows).toHaveLength(1);
    expect(rows[0]?.text).not.toContain(tokenOf(job));
  });
});
