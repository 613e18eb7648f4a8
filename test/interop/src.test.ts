import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import type { Job, JobRecord } from '@fumehood/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../../packages/instance/src/db/testing.ts';
import { upstreamExecutor } from '../../packages/instance/src/http/executor/conformance/upstream.ts';
import {
  type GitTarget,
  repository,
  startGitTarget,
} from '../../packages/instance/src/testing/git-target.ts';
import { makeSource, type Source } from '../../packages/instance/src/testing/source.ts';

/** The path of Sourcegraph's own `src` client: `SRC_CLIENT=… npm run test:interop`. */
const client = process.env.SRC_CLIENT ?? '';

let server: TestServer;
let source: Source;
let target: GitTarget;
let job: Job;
let directory: string;
beforeAll(async () => {
  expect(existsSync(client), 'SRC_CLIENT must name a file').toBe(true);
  server = openTestServer();
  source = makeSource();
  target = await startGitTarget(server);
  await target.put(source.commit, source.alone(source.commit));
  job = await target.lease(source.commit);
  directory = await mkdtemp(join(tmpdir(), 'src-'));
  const recorded = JSON.parse(
    await readFile(join(import.meta.dirname, '../../packages/src-cli/src/testing/recording.json'), 'utf8'),
  ) as { indexes: Record<string, string> };
  const index = gunzipSync(Buffer.from(recorded.indexes['index.scip'] ?? '', 'base64'));
  await writeFile(join(directory, 'index.scip'), index);
});
afterAll(async () => {
  await rm(directory, { recursive: true });
  await target.stop();
  source.remove();
  await server.stop();
});

/** Runs the client as an executor does for a job. */
function upload(...more: string[]) {
  const args = [
    'code-intel',
    'upload',
    '-no-progress',
    `-repo=${repository}`,
    `-commit=${source.commit}`,
    '-root=.',
  ];
  const env = {
    SRC_ENDPOINT: target.instance.url,
    SRC_HEADER_AUTHORIZATION: `token-executor ${job.token}`,
    HOME: directory,
  };
  return promisify(execFile)(client, [...args, '-file=index.scip', ...more], { cwd: directory, env });
}

test.each(['/.executors/scip/upload', '/.executors/lsif/upload'])(
  'the real client uploads to %s',
  async (route) => {
    const { stdout } = await upload(`-upload-route=${route}`, `-associated-index-id=${job.id}`, '-json');
    const { uploadId } = JSON.parse(stdout) as { uploadId: number };
    const record = await (await target.instance.api('GET', `/api/uploads/${uploadId}`)).json();
    expect(record).toMatchObject({ repository, commit: source.commit, root: '', indexer: 'scip-typescript' });
    expect((record as { documents: number }).documents).toBeGreaterThan(0);
  },
);

test('the real client reports a refusal once, with its reason', async () => {
  const refused = upload('-upload-route=/.executors/scip/upload', '-associated-index-id=4711');
  await expect(refused).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining('invalid token') as string,
  });
});

test('the real client runs the last step of a job that an upstream executor has leased', async () => {
  const { instance } = target;
  const made = await upstreamExecutor(instance).leased({ repository, commit: source.commit });
  const step = made.dockerSteps?.at(-1);
  const variables = Object.fromEntries(step?.env?.map((line) => line.split(/=(.*)/s, 2)) ?? []);
  await symlink(client, join(directory, 'src'));
  const PATH = `${directory}:${process.env.PATH}`;
  const env = { ...variables, SRC_ENDPOINT: instance.url, HOME: directory, PATH };
  await promisify(execFile)('sh', ['-c', (step?.commands ?? []).join('\n')], { cwd: directory, env });
  const record = (await (await instance.api('GET', `/api/jobs/${made.id}`)).json()) as JobRecord;
  const upload = await (await instance.api('GET', `/api/uploads/${record.uploadId}`)).json();
  expect(upload).toMatchObject({ repository, commit: source.commit, root: '', indexer: 'scip-typescript' });
});
