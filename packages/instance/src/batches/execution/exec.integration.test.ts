import type { Job } from '@fumehood/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../../db/testing.ts';
import { makeKinds } from '../../kinds/kinds.ts';
import { everyStore } from '../../kinds/testing.ts';
import type { TestInstance } from '../../testing/instance.ts';
import { createBatchSpec, readBatchSpec } from '../specs.ts';
import { addedFiles, personOf, startWithMirror } from '../testing/scripted.ts';
import { listWorkspaces, readWorkspace } from '../workspaces.ts';
import { executeBatchSpec } from './control.ts';

/** Batch specs whose steps an executor of upstream's kind runs, by `src`. */
const ann = personOf('ann');

let server: TestServer;
let instance: TestInstance;
let commit: string;

beforeAll(async () => {
  server = openTestServer();
  ({ instance, commit } = await startWithMirror(await server.clone(), ['acme/api']));
});
afterAll(async () => {
  await instance.stop();
  await server.stop();
});

const text = (name: string, env = '{}') => `
name: ${name}
on: [{repository: acme/api}]
steps:
  - {run: 'one \${{ repository.name }}', container: 'alpine:3', env: ${env}}
  - {run: two, container: 'alpine:3', if: '\${{ eq outputs.x "y" }}'}
  - {run: three, container: 'node:22'}
changesetTemplate: {title: t, branch: ${name}, commit: {message: m}}
`;

async function execute(spec: string, options: object): Promise<string> {
  const { publicId } = await createBatchSpec({ db: instance.db }, ann, {
    ...{ text: spec, namespace: 'ann', origin: 'server', allowIgnored: false, allowUnsupported: false },
    ...{ noCache: false, options, batchChangeId: null },
  });
  const control = { db: instance.db, kinds: makeKinds(everyStore) };
  await executeBatchSpec(control, ann, publicId, {});
  return publicId;
}
const container = { accept: ['container'], network: { mode: 'public' } };

/** Leases the job of a workspace as an executor of upstream's kind does. */
async function lease(): Promise<Job | null> {
  const request = { version: '5.3.0', queues: ['batches' as const] };
  const answer = await instance.executor({ name: 'up', protocol: null }).dequeue(request);
  return answer.status === 204 ? null : ((await answer.json()) as Job);
}
const untilLeased = async () => {
  let job: Job | null = null;
  await expect.poll(async () => (job = await lease()), { timeout: 8_000, interval: 50 }).not.toBeNull();
  return job as unknown as Job;
};
const resultOf = (step: number, diff: string) =>
  JSON.stringify({
    operation: 'CACHE_AFTER_STEP_RESULT',
    metadata: {
      key: 'k',
      value: {
        ...{ version: 2, stepIndex: step, stdout: `said ${step}`, stderr: '', outputs: { x: step } },
        ...{ diff: Buffer.from(diff).toString('base64'), skipped: false },
      },
    },
  });
async function end(job: Job, lines: readonly string[], mark: 'complete' | 'failed'): Promise<void> {
  const routes = instance.executor({ name: 'up', protocol: null }).job({ ...job, queue: 'batches' });
  const out = lines.map((line) => `stdout: ${line}\n`).join('');
  const entry = { key: 'step.src.batch-exec', command: [], startTime: '2026-01-02T03:04:05Z', exitCode: 0 };
  expect((await routes.addEntry({ ...entry, out, durationMs: 1 })).status).toBe(200);
  expect((await routes[mark]('it broke')).status).toBe(204);
}
async function workspaceOf(publicId: string) {
  const page = await listWorkspaces(instance.db, ann, publicId, { state: null, after: 0, limit: 1 });
  return await readWorkspace(instance.db, ann, page.workspaces[0]?.id ?? '');
}
const until = (publicId: string, state: string) =>
  expect
    .poll(async () => (await readBatchSpec(instance.db, ann, publicId)).state, { timeout: 8_000 })
    .toBe(state);

test('a workspace is run by src, and its results are those of its log; a step without a result was skipped', async () => {
  const publicId = await execute(text('by-src'), container);
  const job = await untilLeased();
  expect(job).toMatchObject({ repositoryName: 'acme/api', commit, dockerSteps: [] });
  const { content } = job.files['input.json'] as unknown as { content: string };
  expect(JSON.parse(Buffer.from(content, 'base64').toString())).toEqual({
    BatchChangeAttributes: { Name: 'by-src', Description: '' },
    repository: { id: 'acme/api', name: 'acme/api' },
    branch: { name: 'refs/heads/main', target: { oid: commit } },
    ...{ path: '', onlyFetchWorkspace: false, searchResultPaths: [], cachedStepResultFound: false },
    skippedSteps: {},
    steps: [
      { run: 'one ${{ repository.name }}', container: 'alpine:3', env: {} },
      { run: 'two', container: 'alpine:3', env: {}, if: '${{ eq outputs.x "y" }}' },
      { run: 'three', container: 'node:22', env: {} },
    ],
  });
  await end(job, ['pulling', resultOf(0, addedFiles('a')), resultOf(2, addedFiles('a', 'b'))], 'complete');
  await until(publicId, 'completed');
  expect(await workspaceOf(publicId)).toMatchObject({
    state: 'completed',
    steps: [
      { step: 0, state: 'completed', stdout: 'said 0', outputs: { x: 0 } },
      { step: 1, state: 'skipped' },
      { step: 2, state: 'completed', stat: { files: 2 }, outputs: { x: 2 } },
    ],
  });
});

test('what the steps before a failure have left is kept, and a diff that is none is not', async () => {
  for (const [name, lines, steps] of [
    ['failing', [resultOf(0, addedFiles('a'))], [{ step: 0, state: 'completed' }]],
    ['broken', [resultOf(0, 'no diff')], []],
    ['silent', ['no result'], []],
  ] as const) {
    const publicId = await execute(text(name), container);
    await end(await untilLeased(), lines, name === 'failing' ? 'failed' : 'complete');
    await until(publicId, 'failed');
    expect(await workspaceOf(publicId), name).toMatchObject({ state: 'failed', steps });
  }
});

test('a workspace whose steps have secrets or no network, or that may run in a VM, is for other executors', async () => {
  await execute(text('secret', '[TOKEN]'), container);
  await execute(text('offline'), { ...container, network: { mode: 'none' } });
  await execute(text('strong'), { ...container, accept: ['container', 'vm-emulated'] });
  await expect.poll(() => instance.lease({ queues: ['batches'] }), { timeout: 8_000 }).not.toBeNull();
  expect(await lease()).toBeNull();
});
