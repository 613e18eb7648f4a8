import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { executeBatchSpec } from '../batches/execution/control.ts';
import { createBatchSpec, readBatchSpec } from '../batches/specs.ts';
import { addedFiles, leaseAttempt, personOf, startWithMirror } from '../batches/testing/scripted.ts';
import { listWorkspaces } from '../batches/workspaces.ts';
import { type BlobStore, openBlobStore } from '../blobs/store.ts';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { openStaging } from '../staging.ts';
import type { TestInstance } from '../testing/instance.ts';
import { idOf } from './ids.ts';
import { ask as askOf, refusal } from './testing/ask.ts';

/** A workspace of Ann's, whose first step is complete and whose second one fails, as upstream's clients see it. */
const ann = personOf('ann');
let server: TestServer;
let instance: TestInstance;
let blobs: BlobStore;
let id: string;
beforeAll(async () => {
  server = openTestServer();
  ({ instance } = await startWithMirror(await server.clone(), ['acme/api']));
  const staging = await openStaging(join(instance.directory, 'staging'));
  blobs = await openBlobStore(join(instance.directory, 'blobs'), staging);
  const text = `name: hello
on: [{repository: acme/api}]
steps:
  - run: echo one
    container: alpine:3
    if: 'true'
    env: [TOKEN, {LEVEL: debug}]
    outputs: {n: {value: '{"of": 3}', format: json}}
  - {run: exit 3, container: alpine:3}
changesetTemplate: {title: t, branch: b, commit: {message: m}}`;
  const { publicId } = await createBatchSpec({ db: instance.db }, ann, {
    ...{ text, namespace: 'ann', origin: 'server', allowIgnored: false, allowUnsupported: false },
    ...{ noCache: false, options: { accept: ['vm-emulated'] }, batchChangeId: null },
  });
  await executeBatchSpec({ db: instance.db }, ann, publicId, {});
  await vi.waitFor(
    async () => expect((await readBatchSpec(instance.db, ann, publicId)).state).toBe('queued'),
    { interval: 20, timeout: 20_000 },
  );
  const page = await listWorkspaces(instance.db, ann, publicId, { state: null, after: 0, limit: 1 });
  id = idOf('VisibleBatchSpecWorkspace', page.workspaces[0]?.id ?? '');
});
afterAll(async () => {
  await instance.stop();
  await server.stop();
});

const ask = (fields: string, person = ann) =>
  askOf(
    { db: instance.db, blobs },
    person,
    `query Q($id: ID!) { node(id: $id) { ... on VisibleBatchSpecWorkspace { ${fields} } } }`,
    { id },
  );
const node = async (fields: string) => {
  const { data, errors } = await ask(fields);
  expect(errors).toBeUndefined();
  return data?.node;
};

test('a workspace that waits has its places in the queue, and nobody else sees it', async () => {
  expect(
    await node(`state batchSpec { originalInput } placeInQueue placeInGlobalQueue executor { hostname } searchResultPaths
      cachedResultFound stepCacheResultCount changesetSpecs { id } steps { number } stages { setup { key } }`),
  ).toEqual({
    ...{ state: 'QUEUED', batchSpec: { originalInput: expect.stringContaining('name: hello') } },
    ...{ placeInQueue: 1, placeInGlobalQueue: 1, executor: null, searchResultPaths: [] },
    ...{ cachedResultFound: false, stepCacheResultCount: 0, changesetSpecs: [], steps: [] },
    stages: { setup: [] },
  });
  expect(await ask('state', personOf('bob'))).toEqual({ data: { node: null } });
});

test('a workspace that has failed has what its steps were given, and what they have written', async () => {
  const attempt = await leaseAttempt(instance);
  if (attempt === null) throw new Error('there is no job');
  const { begin, end, routes } = attempt;
  await begin();
  const at = { startTime: '2026-01-02T03:04:05.000Z', durationMs: 20, out: '' };
  const phase = async (entry: number, key: string, exitCode: number, out: string) => {
    await routes.addEntry({ ...at, key, command: ['sh', key], exitCode });
    await routes.append(entry, 'stdout', 0, out);
  };
  await phase(1, 'setup.vm', 0, 'boots\n');
  await phase(2, 'step.docker.step.0', 0, 'one\n');
  await end(0, { diff: addedFiles('a.txt'), stdout: 'one\ntwo\n' });
  await phase(3, 'step.docker.step.1', 3, 'before it fails\n');
  await routes.failed('step 1 has failed');

  const entry = (key: string, exitCode: number, out: string) => ({ key, exitCode, out });
  expect(
    await node(`state failureMessage executor { hostname } placeInQueue diffStat { added } stages {
      setup { key exitCode out durationMilliseconds command } srcExec { key exitCode out } teardown { key } }`),
  ).toEqual({
    ...{ state: 'FAILED', failureMessage: 'step 1 has failed', executor: { hostname: 'e1' } },
    ...{ placeInQueue: null, diffStat: null },
    stages: {
      setup: [
        {
          ...entry('setup.vm', 0, 'boots\n'),
          ...{ durationMilliseconds: 20, command: ['sh', 'setup.vm'] },
        },
      ],
      srcExec: [entry('step.docker.step.0', 0, 'one\n'), entry('step.docker.step.1', 3, 'before it fails\n')],
      teardown: [],
    },
  });
  const steps = await node(`steps {
    number run container ifCondition environment { name value } exitCode outputVariables { name value } diffStat { added }
    diff { fileDiffs { rawDiff } }
    outputLines(first: 1) { totalCount nodes pageInfo { endCursor hasNextPage } }
  }`);
  expect(steps).toEqual({
    steps: [
      {
        ...{ number: 1, run: 'echo one', container: 'alpine:3', ifCondition: 'true', exitCode: 0 },
        environment: [
          { name: 'TOKEN', value: null },
          { name: 'LEVEL', value: 'debug' },
        ],
        outputVariables: [{ name: 'n', value: { of: 3 } }],
        diffStat: { added: 1 },
        diff: { fileDiffs: { rawDiff: addedFiles('a.txt') } },
        outputLines: {
          ...{ totalCount: 2, nodes: ['stdout: one'] },
          pageInfo: { endCursor: '1', hasNextPage: true },
        },
      },
      {
        ...{ number: 2, run: 'exit 3', container: 'alpine:3', ifCondition: null, exitCode: 3 },
        ...{ environment: [], outputVariables: null, diffStat: null, diff: null },
        outputLines: {
          ...{ totalCount: 1, nodes: ['stdout: before it fails'] },
          pageInfo: { endCursor: null, hasNextPage: false },
        },
      },
    ],
  });
  expect(await node('steps { outputLines(first: 500, after: "1") { nodes } }')).toMatchObject({
    steps: [{ outputLines: { nodes: ['stdout: two'] } }, { outputLines: { nodes: [] } }],
  });
});

test('a request that gets too much output is refused', async () => {
  await sql`
    insert into job_events (job_id, type, attempt, entry, stream, start_offset, data)
    select job_id, 'output', 1, 3, 'stderr', 0, convert_to(repeat(repeat('x', 9999) || chr(10), 100), 'UTF8') from batch_workspaces
  `.execute(instance.db);
  const lines = 'steps { outputLines { totalCount nodes } }';
  expect(await node(lines)).toMatchObject({ steps: [{}, { outputLines: { totalCount: 101 } }] });
  expect(await node('step(index: 2) { number }')).toEqual({ step: { number: 2 } });
  expect(await node('step(index: 3) { number }')).toEqual({ step: null });
  const often = Array.from({ length: 8 }, (_, at) => `a${at}: ${lines}`).join(' ');
  expect(await ask(often)).toMatchObject(refusal('invalid_request'));
});
