import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../../../db/testing.ts';
import { type GitTarget, gitPath, repository, startGitTarget } from '../../../testing/git-target.ts';
import { jobHeaders } from '../../../testing/executor-client.ts';
import { emptyIndex } from '../../../testing/job-routes.ts';
import { makeSource, type Source } from '../../../testing/source.ts';
import { answerOf, upstreamExecutor } from './upstream.ts';

const run = promisify(execFile);
let server: TestServer;
let source: Source;
let target: GitTarget;
let directory: string;
beforeAll(async () => {
  server = openTestServer();
  source = makeSource();
  target = await startGitTarget(server);
  await target.put(source.commit, source.alone(source.commit));
  directory = await mkdtemp(join(tmpdir(), 'upstream-'));
});
afterAll(async () => {
  await rm(directory, { recursive: true });
  await target.stop();
  await server.stop();
  source.remove();
});

test('an executor of upstream’s kind runs a job, from its lease to its mark', async () => {
  const { instance } = target;
  const executor = upstreamExecutor(instance);
  const job = await executor.leased({ repository, commit: source.commit });
  const heartbeat = { executorName: 'up', queueNames: ['codeintel'] };
  const held = [{ queueName: 'codeintel', jobIds: [String(job.id)] }];
  const known = await executor.executor('heartbeat', { ...heartbeat, jobIdsByQueue: held });
  expect(await known.json()).toEqual({ knownIds: [`${job.id}-codeintel`], cancelIds: [] });

  // The executor clones, with the headers that its proxy adds.
  const headers = Object.entries({ ...jobHeaders(job, 'up'), 'x-sourcegraph-actor-uid': 'internal' });
  const options = headers.flatMap(([name, value]) => ['-c', `http.extraHeader=${name}: ${value}`]);
  const git = (...args: string[]) => run('git', ['-C', directory, '-c', 'protocol.version=2', ...args]);
  await git('init', '-q');
  await git('remote', 'add', 'origin', `${instance.url}${gitPath}`);
  await git(...options, 'fetch', '-q', '--no-tags', '--depth=1', 'origin', job.commit);
  await git('checkout', '-q', job.commit);
  expect(await readdir(directory)).toEqual(['.git', 'src']);

  const phase = { key: 'step.docker.indexer', command: ['docker', 'run'], startTime: '2026-01-02T03:04:05Z' };
  expect(await answerOf(executor.onJob(job, 'addExecutionLogEntry', phase))).toEqual([200, '1']);
  const done = { ...phase, entryId: 1, exitCode: 0, durationMs: 5, out: 'stdout: indexed\n' };
  expect(await answerOf(executor.onJob(job, 'updateExecutionLogEntry', done))).toEqual([204, '']);

  // The last step: the request that `src` makes from the environment and the command of the step.
  const env = new Map(job.dockerSteps?.at(-1)?.env?.map((line) => line.split('=', 2) as [string, string]));
  expect(env.get('SRC_ENDPOINT')).toBe('https://fumehood.test');
  const query = { repository, commit: job.commit, associatedIndexId: String(job.id), indexerName: 'x' };
  const authorization = env.get('SRC_HEADER_AUTHORIZATION') ?? '';
  const uploaded = await instance
    .executor()
    .job(job, { headers: { authorization } })
    .upload(query, emptyIndex);
  expect(uploaded.status).toBe(202);

  expect(await answerOf(executor.onJob(job, 'markComplete'))).toEqual([204, '']);
  const idle = await executor.executor('heartbeat', { ...heartbeat, jobIdsByQueue: held });
  expect(await idle.json()).toEqual({ knownIds: [], cancelIds: [] });
  const record = (await (await instance.api('GET', `/api/jobs/${job.id}`)).json()) as object;
  expect(record).toMatchObject({ state: 'completed', executor: 'up', tier: null, accept: ['container'] });
  expect(record).toMatchObject({ uploadId: Number(((await uploaded.json()) as { id: string }).id) });
});
