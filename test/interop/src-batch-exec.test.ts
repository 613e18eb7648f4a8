import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { localSpawn } from '@fumehood/base';
import { batchSpecRecordSchema, type Job, jobSchema, workspacePageSchema } from '@fumehood/protocol';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type GitServer, startGitServer } from '../../packages/git/src/testing/git-server.ts';
import { openTestServer, type TestServer } from '../../packages/instance/src/db/testing.ts';
import { openCommits } from '../../packages/instance/src/repos/store.ts';
import { jobHeaders } from '../../packages/instance/src/testing/executor-client.ts';
import {
  extendLease,
  startTestInstance,
  type TestInstance,
} from '../../packages/instance/src/testing/instance.ts';
import { withFakeDocker } from './fake-docker.ts';

/**
 * The path of Sourcegraph's own `src` client: `SRC_CLIENT=… npm run test:interop`. With `DOCKER_HOST` too, it runs the steps in containers of
 * that daemon, which needs an image `alpine:3`; without it, a fake runs them.
 */
const client = process.env.SRC_CLIENT ?? '';
const hasDocker = process.env.DOCKER_HOST !== undefined;

let server: TestServer;
let remote: GitServer;
let instance: TestInstance;
let directory: string;
let path: string;
beforeAll(async () => {
  expect(existsSync(client), 'SRC_CLIENT must name a file').toBe(true);
  server = openTestServer();
  remote = await startGitServer();
  remote.commit({ 'README.md': 'hello\n', 'src/a.txt': 'a\n' });
  const isRoot = process.getuid?.() === 0;
  const spawn = localSpawn(isRoot ? { uid: 1_900_000_009, gid: process.getgid?.() ?? 0 } : null);
  instance = await startTestInstance(await server.clone(), { spawn, openCommits, batches: null });
  directory = await mkdtemp(join(tmpdir(), 'src-exec-'));
  path = hasDocker ? (process.env.PATH ?? '') : await withFakeDocker(directory);
  expect((await instance.api('PUT', '/api/repositories/acme/api', { url: remote.url })).status).toBe(200);
  const isMirrored = async () =>
    expect(await read('/api/repositories/acme/api')).toMatchObject({ branches: 1 });
  await vi.waitFor(isMirrored, { timeout: 20_000, interval: 200 });
});
afterAll(async () => {
  await rm(directory, { recursive: true });
  await instance.stop();
  remote.stop();
  await server.stop();
});

/** Runs a job as upstream's executor does: it clones the commit, writes the files, runs `src` and sends its log. Returns what `src` printed. */
async function runJob(job: Job): Promise<string> {
  const workspace = await mkdtemp(join(directory, 'workspace-'));
  const headers = jobHeaders(job, 'up');
  const cwd = join(workspace, job.repositoryDirectory);
  const git = (...args: string[]) => promisify(execFile)('git', args, { cwd });
  await mkdir(cwd);
  await git('init', '-q');
  const authorized = Object.entries(headers).flatMap(([name, value]) => [
    '-c',
    `http.extraHeader=${name}: ${value}`,
  ]);
  const from = `${instance.url}/.executors/git/${job.repositoryName}`;
  await git(...authorized, '-c', 'protocol.version=2', 'fetch', '-q', '--depth=1', from, job.commit);
  await git('checkout', '-q', job.commit);
  for (const [name, { content, bucket, key }] of Object.entries(job.files)) {
    const stored = async () =>
      await (await fetch(`${instance.url}/.executors/files/${bucket}/${key}`, { headers })).bytes();
    await mkdir(dirname(join(workspace, name)), { recursive: true });
    await writeFile(join(workspace, name), key ? await stored() : (content ?? ''));
  }
  const routes = instance.executor({ name: 'up', protocol: null }).job({ ...job, queue: 'batches' });
  const [step] = job.cliSteps ?? [];
  const options = {
    ...{ cwd: join(workspace, step?.dir ?? ''), maxBuffer: 2 ** 26 },
    env: { ...process.env, PATH: path, HOME: workspace },
  };
  const ended = await new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
    execFile(client, step?.command ?? [], options, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr }),
    );
  });
  const { code, stdout, stderr } = ended;
  const lines = (stream: string, text: string) =>
    text.split('\n').flatMap((line) => (line === '' ? [] : [`${stream}: ${line}\n`]));
  const out = [...lines('stdout', stdout), ...lines('stderr', stderr)].join('');
  const entry = {
    key: `step.src.${step?.key}`,
    command: ['src', ...(step?.command ?? [])],
    startTime: '2026-01-02T03:04:05Z',
  };
  expect((await routes.addEntry({ ...entry, exitCode: code, out, durationMs: 1 })).status).toBe(200);
  expect((await (code === 0 ? routes.complete() : routes.failed(stderr))).status).toBe(204);
  return out;
}

const mounting = hasDocker
  ? "mount: [{path: ./fix.sh, mountpoint: /tmp/fix.sh}], run: 'sh /tmp/fix.sh'"
  : 'run: echo fixed > fixed.txt';
const textOf = (last: string) => `
name: greet
on: [{repository: acme/api}]
steps:
  - {container: 'alpine:3', ${mounting}}
  - run: |
      echo "Hello \${{ repository.name }}" >> README.md
      rm src/a.txt; echo '{"n": "3"}'
    container: alpine:3
    outputs: {said: {value: '\${{ step.stdout }}', format: json}}
  - {run: exit 1, container: 'alpine:3', if: '\${{ eq outputs.said.n "4" }}'}
  - {run: 'echo "\${{ outputs.said.n }} \${{ join steps.deleted_files "," }} ${last}" > last.txt', container: 'alpine:3'}
changesetTemplate: {title: Greet, body: b, branch: greet, commit: {message: Greet}, published: true}
`;
const read = async (route: string) => await (await instance.api('GET', route)).json();

/** Has a batch spec run by the executor of upstream's kind, and applies it. Returns what `src` printed. */
async function apply(text: string): Promise<string> {
  const options = { accept: ['container'], network: { mode: 'public' } };
  const made = await instance.api('POST', '/api/batch-specs', { text, options });
  const { id } = batchSpecRecordSchema.parse(await made.json());
  const form = new FormData();
  form.append('filepath', '');
  form.append('filemod', '2026-01-02 03:04:05.000000001 +0000 UTC');
  form.append('file', new Blob(['echo fixed > fixed.txt\n']), 'fix.sh');
  const headers = { authorization: `token ${instance.accessToken}` };
  const sent = await fetch(`${instance.url}/.api/files/batch-changes/${id}`, {
    method: 'POST',
    headers,
    body: form,
  });
  expect(sent.status, await sent.text()).toBe(200);
  const resolved = async () => batchSpecRecordSchema.parse(await read(`/api/batch-specs/${id}`)).resolution;
  await expect.poll(resolved, { timeout: 20_000 }).toBe('completed');
  await instance.api('POST', `/api/batch-specs/${id}/execute`, {});
  const upstream = instance.executor({ name: 'up', protocol: null });
  let job: Job | null = null;
  const lease = async () => {
    const answer = await upstream.dequeue({ version: '6.0.0', queues: ['batches'] });
    job = answer.status === 200 ? jobSchema.parse(await answer.json()) : null;
    return job;
  };
  await expect.poll(lease, { timeout: 20_000 }).not.toBeNull();
  const leased = job as unknown as Job;
  await extendLease(instance, leased);
  const out = await runJob(leased);
  const state = async () => batchSpecRecordSchema.parse(await read(`/api/batch-specs/${id}`)).builtAt;
  await expect.poll(state, { timeout: 20_000, message: out }).not.toBeNull();
  const { workspaces } = workspacePageSchema.parse(await read(`/api/batch-specs/${id}/workspaces`));
  expect(workspaces, out).toMatchObject([{ state: 'completed' }]);
  expect((await instance.api('POST', `/api/batch-specs/${id}/apply`, {})).status).toBe(200);
  return out;
}
const last = () => {
  try {
    return remote.git('show', 'greet:last.txt');
  } catch {
    return null; // there is no such branch yet
  }
};

test('the real src batch exec runs a workspace on an executor of upstream’s kind, and its diff becomes a pushed branch', async () => {
  const out = await apply(textOf('one'));
  expect(out).toContain('"operation":"TASK_STEP_SKIPPED"');
  await expect.poll(last, { timeout: 20_000 }).toBe('3 src/a.txt one');
  expect(remote.git('diff', '--name-status', 'main', 'greet').split('\n')).toEqual([
    'M\tREADME.md',
    'A\tfixed.txt',
    'A\tlast.txt',
    'D\tsrc/a.txt',
  ]);
  expect(remote.git('show', 'greet:README.md')).toBe('hello\nHello acme/api');
});

test('the real src batch exec begins behind the steps that have a result', async () => {
  const out = await apply(textOf('two'));
  expect(out).toMatch(/"TASK_SKIPPING_STEPS".*"startStep":4/);
  expect(out).not.toContain('"step":2,');
  await expect.poll(last, { timeout: 20_000 }).toBe('3 src/a.txt two');
  expect(remote.git('show', 'greet:README.md')).toBe('hello\nHello acme/api');
});
