import { createHash } from 'node:crypto';
import { type Job, type NextStep, nextStepSchema, protocolVersion, stepDiffSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../../db/testing.ts';
import type { ExecReport } from '../../kinds/exec-results.ts';
import { everyStore } from '../../kinds/testing.ts';
import type { StepDone } from '../../queue/kind.ts';
import { addBatchJob, leaseBatchJob } from '../../testing/batch-job.ts';
import { startTestInstance, type TestInstance } from '../../testing/instance.ts';

let server: TestServer;
let instance: TestInstance;
/** What the routes have reported of each job's steps. */
const reported: [number, StepDone | null][] = [];
const ends: [number, string][] = [];
const executed: [number, ExecReport][] = [];
/** What the settings name as the image of upstream's helper. */
let helperImage: string | null = null;

const answer: NextStep = {
  next: { step: 1, script: 'true', env: ['A=b'], secrets: [], files: [{ target: '/x', content: 'eA==' }] },
  restore: null,
  skipped: [0],
};

beforeAll(async () => {
  server = openTestServer();
  instance = await startTestInstance(await server.clone(), {
    batches: {
      ...everyStore.batches,
      next: (locked, done) =>
        locked(async (_tx, job) => {
          reported.push([job.id, done]);
          return done?.step === 1 ? { ...answer, next: null } : answer;
        }),
      exec: async () => ({
        ...{ input: { path: '' }, skippedSteps: [], cached: null, helperImage },
        files: [{ path: 'tools/fix.sh', key: 'spec/file', modifiedAt: '2026-01-02T03:04:05Z' }],
      }),
      async executed(_tx, job, report) {
        executed.push([job.id, report]);
        return null;
      },
      async ended(_tx, job) {
        ends.push([job.id, job.state]);
      },
    },
  });
});
afterAll(async () => {
  await instance.stop();
  await server.stop();
});
beforeEach(() => {
  reported.length = 0;
  ends.length = 0;
  executed.length = 0;
});

const digestOf = (bytes: string) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const routesOf = (job: Job) => instance.executor().job(job);
const done = (diff: string, step = 0) => ({ step, stdout: 'said', stderr: '', diff: digestOf(diff) });

describe('a job of a batch change', () => {
  test('is leased to an executor that knows its steps, and to no older one', async () => {
    const { id } = await addBatchJob(instance);
    const older = instance.executor({ name: 'older', protocol: String(protocolVersion - 1) });
    expect(await older.lease({ queues: ['batches'] })).toBeNull();
    const why = await (await instance.api('GET', `/api/jobs/${id}/why`)).json();
    expect(why).toMatchObject({ waiting: { reason: 'version_not_offered' } });
    expect(await instance.lease({ queues: ['batches'] })).toMatchObject({ id, fumehood: { batch: true } });
  });

  test('gets one step after the other, for the diff and the output of the one before', async () => {
    const job = await leaseBatchJob(instance);
    expect(nextStepSchema.parse(await (await routesOf(job).nextStep(null)).json())).toEqual(answer);
    const stored = await routesOf(job).stepDiff(1, 'a diff');
    expect(stepDiffSchema.parse(await stored.json())).toEqual({ digest: digestOf('a diff') });
    const end = await routesOf(job).nextStep(done('a diff', 1));
    expect(nextStepSchema.parse(await end.json()).next).toBeNull();
    expect(reported).toEqual([
      [job.id, null],
      [job.id, { ...done('a diff', 1), diffBytes: 6 }],
    ]);
    expect((await routesOf(job).complete()).status).toBe(204);
    expect(ends).toEqual([[job.id, 'completed']]);
  });

  test('may have an empty diff', async () => {
    const job = await leaseBatchJob(instance);
    expect((await routesOf(job).stepDiff(0, '')).status).toBe(200);
    expect((await routesOf(job).nextStep(done(''))).status).toBe(200);
    expect(reported).toEqual([[job.id, { ...done(''), diffBytes: 0 }]]);
  });

  test('may send a diff as soon as the one before was answered', async () => {
    const job = await leaseBatchJob(instance);
    const statuses = new Set<number>();
    for (let n = 0; n < 40; n += 1) statuses.add((await routesOf(job).stepDiff(0, 'a diff')).status);
    expect(statuses).toEqual(new Set([200]));
  });

  test('reports only a diff that this attempt has sent for this step', async () => {
    const image = await instance.image('of somebody else');
    const job = await leaseBatchJob(instance);
    await routesOf(job).stepDiff(1, 'a diff');
    for (const end of [done('a diff'), { ...done('a diff', 1), diff: image }]) {
      const refused = await routesOf(job).nextStep(end);
      expect([refused.status, await refused.json()]).toMatchObject([409, { code: 'step_diff_missing' }]);
    }
    await sql`update jobs set attempt = 2 where id = ${job.id}`.execute(instance.db);
    expect((await routesOf(job).nextStep(done('a diff', 1))).status).toBeOneOf([401, 409]);
    expect(reported).toEqual([]);
  });

  test('has a diff of a bounded size', async () => {
    const job = await leaseBatchJob(instance);
    const refused = await routesOf(job).stepDiff(0, Buffer.alloc(64 * 2 ** 20 + 1));
    expect([refused.status, await refused.json()]).toMatchObject([413, { code: 'diff_too_big' }]);
  });

  test('reads the files that its spec mounts and the results of its user, and no other blob', async () => {
    const job = await leaseBatchJob(instance);
    const [file, own, foreign] = await Promise.all(
      ['a file', 'a result', 'a foreign result'].map((content) => instance.image(content)),
    );
    await sql`
      with spec as (
        insert into batch_specs (creator, namespace, name, text, origin) values ('ann', 'ann', 'x', '', 'server') returning id
      ), workspace as (
        insert into batch_workspaces (
          spec_id, position, repository, branch, commit, path, only_fetch_workspace, file_matches, ignored, unsupported,
          skipped_steps, step_count, state, job_id
        )
        select id, 0, 'acme/payments', 'refs/heads/main', '', '', false, '{}', false, false, '{}', 2, 'processing', ${job.id} from spec
      )
      insert into batch_files (spec_id, path, digest, bytes, modified_at) select id, 'x', ${file}, 1, now() from spec
    `.execute(instance.db);
    for (const [creator, diff] of [
      ['ann', own],
      ['bob', foreign],
    ])
      await sql`
        insert into batch_step_results (
          creator, key, step, skipped, diff, diff_bytes, added_lines, deleted_lines, changes, stdout, stderr, outputs
        ) values (${creator}, 'key', 0, false, ${diff}, 1, 0, 0, '{}', '', '', '{}')
      `.execute(instance.db);
    const statuses = [file, own, foreign].map(
      async (digest) => (await routesOf(job).blob(String(digest))).status,
    );
    expect(await Promise.all(statuses)).toEqual([200, 200, 404]);
  });
});

test('a job of another kind has no such steps', async () => {
  await instance.run();
  const job = (await instance.lease()) as Job;
  for (const asked of [routesOf(job).nextStep(null), routesOf(job).stepDiff(0, 'a diff')])
    expect([(await asked).status, await (await asked).json()]).toMatchObject([404, { code: 'no_steps' }]);
});

describe("a job of a batch change for executors of upstream's kind", () => {
  beforeEach(() => {
    helperImage = null;
  });
  const result = (step: number, diff: string) =>
    JSON.stringify({
      operation: 'CACHE_AFTER_STEP_RESULT',
      metadata: { key: 'k', value: { stepIndex: step, diff, stdout: 'said', stderr: '', outputs: {} } },
    });

  test('is one command of src, in the form of their version', async () => {
    const upstream = instance.executor({ name: 'up', protocol: null });
    const leaseAs = async (version: string) => {
      const { id } = await addBatchJob(instance, {
        accept: ['container'],
        exec: true,
        network: { mode: 'public' },
      });
      const answer = await upstream.dequeue({ version, queues: ['batches'] });
      expect(answer.status).toBe(200);
      const job = (await answer.json()) as {
        id: number;
        files: Record<string, { content: string }>;
        cliSteps: { command: string[] }[];
      };
      expect(job).toMatchObject({ id, repositoryDirectory: 'repository', dockerSteps: [] });
      return job;
    };
    const older = await leaseAs('4.2.0');
    expect(older.files).toMatchObject({
      'input.json': { content: '{"path":"","cachedStepResultFound":false}' },
      'workspace-files/tools/fix.sh': { bucket: 'batch-changes', key: 'spec/file' },
    });
    const command = ['batch', 'exec', '-f', 'input.json', '-repo', 'repository', '-tmp', '.src-tmp'];
    const mounts = ['-workspaceFiles', 'workspace-files'];
    expect(older.cliSteps).toEqual([
      { key: 'batch-exec', command: [...command, ...mounts], dir: '.', env: [] },
    ]);
    const newer = await leaseAs('5.3.0');
    expect(newer.cliSteps[0]?.command).toEqual([...command, '-binaryDiffs', ...mounts]);
    expect(newer.files).toMatchObject({
      'input.json': { content: btoa(String(older.files['input.json']?.content)) },
    });
  });

  test.each(['complete', 'failed'] as const)(
    'has its results from the log of src when it is %s',
    async (end) => {
      await addBatchJob(instance, { accept: ['container'], exec: true, network: { mode: 'public' } });
      const upstream = instance.executor({ name: 'up', protocol: null });
      const job = (await (await upstream.dequeue({ version: '5.3.0', queues: ['batches'] })).json()) as Job;
      const routes = upstream.job(job);
      const entry = { command: [], startTime: '2026-01-02T03:04:05Z', exitCode: 0, durationMs: 1 };
      const lines = ['pulling', result(0, 'first'), result(1, 'second')];
      const out = lines.map((line) => `stdout: ${line}\n`).join('');
      await routes.addEntry({
        ...entry,
        key: 'setup.git',
        out: `stdout: ${result(0, 'of another entry')}\n`,
      });
      expect((await routes.addEntry({ ...entry, key: 'step.src.batch-exec', out })).status).toBe(200);
      expect((await routes[end]('it broke')).status).toBe(204);
      expect(
        executed.map(([id, { results }]) => [id, results.map(({ step, diff }) => [step, String(diff)])]),
      ).toEqual([
        [
          job.id,
          [
            [0, 'first'],
            [1, 'second'],
          ],
        ],
      ]);
      expect(ends).toEqual([[job.id, end === 'complete' ? 'completed' : 'failed']]);
    },
  );

  test('has steps of the helper around each of its own, once the settings name its image', async () => {
    helperImage = 'registry.test/helper:5';
    await addBatchJob(instance, { accept: ['container'], exec: true, network: { mode: 'public' } });
    await instance.api('PUT', '/api/registries/registry.test', { username: 'u', password: 'p' });
    const upstream = instance.executor({ name: 'up', protocol: null });
    const asked = { version: '5.3.0', queues: ['batches' as const], numCPUs: 2 };
    const job = (await (await upstream.dequeue(asked)).json()) as Job;
    expect(job.cliSteps).toBeNull();
    expect(job.dockerSteps?.map(({ key, image, env }) => [key, image, env])).toEqual([
      ['step.0.pre', helperImage, []],
      ['step.0.run', 'alpine:3', []],
      ['step.0.post', helperImage, []],
      ['step.1.pre', helperImage, []],
      ['step.1.run', 'node:22', []],
      ['step.1.post', helperImage, []],
    ]);
    expect(job).toMatchObject({ dockerAuthConfig: { auths: { 'registry.test': {} } } });
    const routes = upstream.job(job);
    const entry = { command: [], startTime: '2026-01-02T03:04:05Z', exitCode: 0, durationMs: 1 };
    for (const [key, line] of [
      ['step.docker.step.0.run', result(1, 'printed by the step')],
      ['step.docker.step.0.post', result(0, 'first')],
      ['step.kubernetes.step.1.post', result(1, 'second')],
    ] as const)
      await routes.addEntry({ ...entry, key, out: `stdout: ${line}\n` });
    expect((await routes.complete()).status).toBe(204);
    expect(executed[0]?.[1].results.map(({ step, diff }) => [step, String(diff)])).toEqual([
      [0, 'first'],
      [1, 'second'],
    ]);
  });

  test('goes to no executor that gets the steps of others one by one', async () => {
    await addBatchJob(instance, { accept: ['container'], exec: true });
    expect(await instance.lease({ queues: ['batches'] })).toBeNull();
  });
});
