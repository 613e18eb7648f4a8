import { type Job, setBatchSettingsSchema } from '@fumehood/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../../db/testing.ts';
import { makeKinds } from '../../kinds/kinds.ts';
import { recordedExecs } from '../../kinds/testing/recorded.ts';
import { everyStore } from '../../kinds/testing.ts';
import type { TestInstance } from '../../testing/instance.ts';
import { removeBatchSettings, setBatchSettings } from '../settings.ts';
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
  - {run: two, container: '\${{ repository.name }}:3', if: '\${{ eq repository.branch "y" }}'}
  - {run: three, container: 'node:22'}
changesetTemplate: {title: t, branch: ${name}, commit: {message: m}}
`;

const container = { accept: ['container'], network: { mode: 'public' } };

/** Executes a batch spec for an executor of upstream's kind, or with other options. */
async function execute(spec: string, options: object = container): Promise<string> {
  const { publicId } = await createBatchSpec({ db: instance.db }, ann, {
    ...{ text: spec, namespace: 'ann', origin: 'server', allowIgnored: false, allowUnsupported: false },
    ...{ noCache: false, options, batchChangeId: null },
  });
  const control = { db: instance.db, kinds: makeKinds(everyStore) };
  await executeBatchSpec(control, ann, publicId, {});
  return publicId;
}
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
const resultOf = (step: number, diff: string, outputs: unknown = { x: step }) =>
  JSON.stringify({
    operation: 'CACHE_AFTER_STEP_RESULT',
    metadata: {
      key: 'k',
      value: {
        ...{ version: 2, stepIndex: step, stdout: `said ${step}`, stderr: '', outputs },
        ...{ diff: Buffer.from(diff).toString('base64'), skipped: false },
      },
    },
  });
/** Returns the text of a file that a job has in it. */
const contentOf = (job: Job, path: string) =>
  Buffer.from((job.files[path] as unknown as { content: string }).content, 'base64').toString();
/** The log of `src batch exec`. */
const bySrc = (...lines: readonly string[]) => ({ 'step.src.batch-exec': lines });
const skipped = (step: number) =>
  JSON.stringify({ operation: 'TASK_STEP_SKIPPED', status: 'PROGRESS', metadata: { step: step + 1 } });
/** Reports what was printed, by the keys of the log, and ends the job. */
async function end(
  job: Job,
  log: Readonly<Record<string, readonly string[]>>,
  mark: 'complete' | 'failed',
): Promise<void> {
  const routes = instance.executor({ name: 'up', protocol: null }).job({ ...job, queue: 'batches' });
  for (const [key, lines] of Object.entries(log)) {
    const out = lines.map((line) => `stdout: ${line}\n`).join('');
    const entry = { key, command: [], startTime: '2026-01-02T03:04:05Z', exitCode: 0 };
    expect((await routes.addEntry({ ...entry, out, durationMs: 1 })).status).toBe(200);
  }
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
  const publicId = await execute(text('by-src'));
  const job = await untilLeased();
  expect(job).toMatchObject({ repositoryName: 'acme/api', commit, dockerSteps: [] });
  expect(JSON.parse(contentOf(job, 'input.json'))).toEqual({
    BatchChangeAttributes: { Name: 'by-src', Description: '' },
    repository: { id: 'acme/api', name: 'acme/api' },
    branch: { name: 'refs/heads/main', target: { oid: commit } },
    ...{ path: '', onlyFetchWorkspace: false, searchResultPaths: [], cachedStepResultFound: false },
    skippedSteps: {},
    steps: [
      { run: 'one ${{ repository.name }}', container: 'alpine:3', env: {} },
      { run: 'two', container: 'acme/api:3', env: {}, if: '${{ eq repository.branch "y" }}' },
      { run: 'three', container: 'node:22', env: {} },
    ],
  });
  await end(
    job,
    bySrc('pulling', resultOf(0, addedFiles('a')), resultOf(2, addedFiles('a', 'b'))),
    'complete',
  );
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

test('what the steps before a failure have left is kept, and what is no result is not, with the reason', async () => {
  const early = 'its executor has ended the job before its last step';
  const first = [{ step: 0, state: 'completed' }];
  const diffOfNul = 'diff --git "../a\\000" "../a\\000"\nnew file mode 100644\n';
  const nested = JSON.parse(`{"x":${'['.repeat(5_000)}${']'.repeat(5_000)}}`) as unknown;
  const cases: Record<string, readonly [readonly string[], object[], string]> = {
    failing: [[resultOf(0, addedFiles('a'))], first, 'it broke'],
    broken: [[resultOf(0, 'no diff')], [], 'the result of step 1: '],
    named: [[resultOf(0, diffOfNul)], [], 'the result of step 1: '],
    silent: [['no result'], [], early],
    beyond: [[resultOf(0, ''), resultOf(50, '')], first, early],
    nested: [[resultOf(0, ''), resultOf(1, '', nested)], first, 'the result of step 2: the outputs'],
  };
  const ids = await Promise.all(
    Object.keys(cases).map(async (name) => [name, await execute(text(name))] as const),
  );
  for (const _ of ids) {
    const job = await untilLeased();
    const { Name } = (JSON.parse(contentOf(job, 'input.json')) as { BatchChangeAttributes: { Name: string } })
      .BatchChangeAttributes;
    await end(job, bySrc(...(cases[Name]?.[0] ?? [])), Name === 'failing' ? 'failed' : 'complete');
  }
  for (const [name, publicId] of ids) {
    await until(publicId, 'failed');
    const [, steps, reason] = cases[name] ?? [];
    expect(await workspaceOf(publicId), name).toMatchObject({
      ...{ state: 'failed', steps, reason: expect.stringContaining(reason ?? '') as string },
    });
  }
});

test('texts that no database stores are stored without what it does not', async () => {
  const publicId = await execute(text('odd'));
  const outputs = { 'a\0': ['\0', { b: '\ud800' }] };
  const lines = [0, 1, 2].map((step) => resultOf(step, '', outputs));
  await end(await untilLeased(), bySrc(...lines), 'complete');
  await until(publicId, 'completed');
  expect((await workspaceOf(publicId)).steps[2]?.outputs).toEqual({ 'a\u2400': ['\u2400', { b: '\ufffd' }] });
});

test('a workspace all of whose steps say that they were skipped is complete', async () => {
  const publicId = await execute(text('skips'));
  await end(await untilLeased(), bySrc(...[0, 1, 2].map(skipped)), 'complete');
  await until(publicId, 'completed');
  const state = 'skipped';
  expect((await workspaceOf(publicId)).steps).toMatchObject([{ state }, { state }, { state }]);
});

test('an executor begins behind the steps that have a result, in either form', async () => {
  const name = 'resumed';
  await execute(text(name));
  const diff = addedFiles('a');
  await end(await untilLeased(), bySrc(resultOf(0, diff), skipped(1)), 'failed');
  const left = {
    ...{ version: 2, changedFiles: { modified: [], added: ['a'], deleted: [], renamed: [] } },
    ...{ stdout: 'said 0', stderr: '', stepIndex: 1, diff: btoa(diff), outputs: { x: 0 }, skipped: false },
  };

  await execute(text(name).replace('three', 'four'));
  const job = await untilLeased();
  const given = JSON.parse(contentOf(job, 'input.json')) as object;
  expect(given).toMatchObject({ cachedStepResultFound: true, cachedStepResult: left });
  await end(job, {}, 'failed');

  const settings = { ...container, helperImage: 'helper:1' };
  await setBatchSettings(instance.db, setBatchSettingsSchema.parse(settings), 'root');
  const publicId = await execute(text(name).replace('three', 'five'));
  const native = await untilLeased();
  await removeBatchSettings(instance.db);
  const keys = ['apply-diff', 'step.2.pre', 'step.2.run', 'step.2.post'];
  expect(native.dockerSteps?.map(({ key }) => key)).toEqual(keys);
  expect(JSON.parse(contentOf(native, 'step1.json'))).toEqual(left);
  expect(contentOf(native, 'state.diff')).toBe(diff);
  const log = { 'step.docker.step.2.post': [resultOf(2, addedFiles('a', 'b'))] };
  await end(native, log, 'complete');
  await until(publicId, 'completed');
  expect(await workspaceOf(publicId)).toMatchObject({
    steps: [{ state: 'cached' }, { state: 'skipped' }, { state: 'completed', stat: { files: 2 } }],
  });
});

test('a step that the helper has skipped is known to be skipped by a later execution', async () => {
  const spec = text('helped');
  await execute(spec);
  const log = {
    'step.docker.step.0.post': [resultOf(0, '')],
    'step.docker.step.1.pre': [skipped(1)],
    'step.docker.step.2.post': [resultOf(2, '')],
  };
  await end(await untilLeased(), log, 'complete');
  const again = await execute(spec);
  await until(again, 'completed');
  expect((await workspaceOf(again)).steps.map(({ state }) => state)).toEqual(['cached', 'skipped', 'cached']);
});

const states = {
  'exec-fail': ['failed', 'completed'],
  'exec-skip': ['completed', 'skipped', 'skipped', 'completed', 'completed'],
  'exec-nodiff': ['completed', 'completed'],
  'exec-sigint': ['failed', 'completed'],
  'exec-sigterm': ['failed'],
  'exec-rename': ['completed', 'completed'],
  'exec-two-fail-first': ['failed'],
};
test.each(recordedExecs().filter(({ trial }) => trial in states))(
  'the input is of the shape that was recorded in $trial, and what was printed then is what the workspace has',
  async ({ trial, exit, input, stdout }) => {
    const recorded = JSON.parse(input) as Record<string, unknown>;
    const publicId = await execute(
      JSON.stringify({
        ...{ name: trial, description: 'Say hi', on: [{ repository: 'acme/api' }], steps: recorded.steps },
        changesetTemplate: { title: 't', branch: trial, commit: { message: 'm' } },
      }),
    );
    const job = await untilLeased();
    const given = JSON.parse(contentOf(job, 'input.json')) as Record<string, unknown>;
    const { cachedStepResult: _, skippedSteps: _skipped, ...shape } = recorded;
    expect(given).toEqual({
      ...shape,
      BatchChangeAttributes: { Name: trial, Description: 'Say hi' },
      repository: { id: 'acme/api', name: 'acme/api' },
      branch: { name: 'refs/heads/main', target: { oid: commit } },
      searchResultPaths: [],
      skippedSteps: expect.any(Object) as object,
    });
    await end(job, bySrc(...stdout), exit === 0 ? 'complete' : 'failed');
    const [outcome, ...steps] = states[trial as keyof typeof states];
    await until(publicId, outcome ?? '');
    expect((await workspaceOf(publicId)).steps.map(({ state }) => state)).toEqual(steps);
  },
);

test('a workspace whose steps have secrets or no network, or that may run in a VM, is for other executors', async () => {
  await execute(text('secret', '[TOKEN]'));
  await execute(text('offline'), { ...container, network: { mode: 'none' } });
  await execute(text('strong'), { ...container, accept: ['container', 'vm-emulated'] });
  await expect.poll(() => instance.lease({ queues: ['batches'] }), { timeout: 8_000 }).not.toBeNull();
  expect(await lease()).toBeNull();
});
