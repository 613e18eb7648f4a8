import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { BatchSpecState } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openBlobStore } from '../../blobs/store.ts';
import { openTestServer, type TestServer } from '../../db/testing.ts';
import { makeKinds } from '../../kinds/kinds.ts';
import { everyStore } from '../../kinds/testing.ts';
import { readSecretsKey } from '../../secrets/key.ts';
import { setSecret } from '../../secrets/secrets.ts';
import { openVault } from '../../secrets/vault.ts';
import { openStaging } from '../../staging.ts';
import { forgetLosses, type TestInstance } from '../../testing/instance.ts';
import { readBatchFile, storeBatchFile } from '../files.ts';
import { removeBatchSettings, setBatchSettings } from '../settings.ts';
import { createBatchSpec, readBatchSpec } from '../specs.ts';
import { addedFiles, leaseAttempt, personOf, runNext, startWithMirror } from '../testing/scripted.ts';
import { listWorkspaces, readWorkspace } from '../workspaces.ts';
import { workspaceEnded } from './ended.ts';
import {
  cancelBatchSpec,
  cancelWorkspaces,
  executeBatchSpec,
  retryBatchSpec,
  retryWorkspaces,
} from './control.ts';

/** Batch specs from their text to their results, with an executor that runs nothing. */
const ann = personOf('ann');

let server: TestServer;
let instance: TestInstance;
let commit: string;
let control: Parameters<typeof cancelBatchSpec>[0];

beforeAll(async () => {
  server = openTestServer();
  ({ instance, commit } = await startWithMirror(await server.clone(), ['acme/api', 'acme/web']));
  const kinds = makeKinds({ ...everyStore, batches: { ...everyStore.batches, ended: workspaceEnded } });
  control = { db: instance.db, kinds };
});
afterAll(async () => {
  await instance.stop();
  await server.stop();
});
beforeEach(async () => {
  await sql`delete from jobs where state in ('queued', 'errored', 'processing')`.execute(instance.db);
  await sql`delete from batch_specs`.execute(instance.db);
  await sql`delete from batch_step_results`.execute(instance.db);
  await forgetLosses(instance);
});

const template = 'changesetTemplate: {title: t, branch: b, commit: {message: m}}';
const steps = (last: string) => `steps:
  - run: printf 3
    container: alpine:3
    env: {WHERE: '\${{ repository.name }}', SPEC: '\${{ batch_change.name }}'}
    outputs: {n: {value: '\${{ step.stdout }}', format: json}}
  - if: \${{ eq repository.branch "other" }}
    run: 'false'
    container: alpine:3
  - run: ${last}
    container: node:22
    env: [TOKEN, {N: '\${{ outputs.n }}'}, {FILES: '\${{ join previous_step.added_files " " }}'}]
    files: {/tmp/n: 'n is \${{ outputs.n }}'}
`;
const textOf = (body: string, repositories = ['acme/api']) =>
  `name: hello\non: [${repositories.map((name) => `{repository: ${name}}`).join(', ')}]\n${body}\n${template}`;

async function create(text: string, person = ann): Promise<string> {
  const { publicId } = await createBatchSpec({ db: instance.db }, person, {
    ...{
      text,
      namespace: person.name,
      origin: 'server',
      allowIgnored: false,
      allowUnsupported: false,
      noCache: false,
    },
    ...{ options: { accept: ['vm-emulated'] }, batchChangeId: null },
  });
  return publicId;
}
async function execute(text: string, options: { noCache?: boolean } = {}): Promise<string> {
  const publicId = await create(text);
  await executeBatchSpec(control, ann, publicId, options);
  return publicId;
}
const until = (publicId: string, state: BatchSpecState) =>
  expect
    .poll(async () => (await readBatchSpec(instance.db, ann, publicId)).state, {
      interval: 20,
      timeout: 20_000,
    })
    .toBe(state);
async function workspaceOf(publicId: string) {
  const page = await listWorkspaces(instance.db, ann, publicId, { state: null, after: 0, limit: 1 });
  return await readWorkspace(instance.db, ann, page.workspaces[0]?.id ?? '');
}
/** The files and lines of the changesets of a batch spec. */
async function changesetsOf(publicId: string): Promise<unknown[]> {
  const { rows } = await sql`
    select made.repository, base_ref, head_ref, made.added_lines from changeset_specs made join batch_specs spec on spec.id = made.spec_id
    where spec.public_id = ${publicId} order by made.repository
  `.execute(instance.db);
  return rows;
}
const attemptAt = async (executor?: string) => {
  const attempt = await leaseAttempt(instance, executor);
  if (attempt === null) throw new Error('there is no job');
  return attempt;
};

/** Sends a heartbeat of an executor that has no job any more. */
const beat = () =>
  instance.executor().heartbeat({
    ...{ queueNames: ['batches'], jobIdsByQueue: [], fumehood: { tiers: ['vm-emulated'], leases: [] } },
  });

describe('a batch spec', () => {
  test('runs step after step, and what its last step has left becomes changesets', async () => {
    const vault = openVault(await readSecretsKey(join(instance.directory, 'run/secrets-key')));
    await setSecret(instance.db, vault, { tenant: 'ann', name: 'TOKEN', value: 'a ${{ b }}' });
    const publicId = await execute(textOf(steps('node x')));
    const { job, begin, end, routes } = await attemptAt();
    expect(job).toMatchObject({
      ...{ repositoryName: 'acme/api', commit, repositoryDirectory: 'repository' },
      dockerSteps: [{ image: 'alpine:3' }, { image: 'alpine:3' }, { image: 'node:22' }],
    });
    expect(await begin()).toEqual({
      next: { step: 0, script: 'printf 3', env: ['WHERE=acme/api', 'SPEC=hello'], secrets: [], files: [] },
      ...{ restore: null, skipped: [] },
    });
    const second = await end(0, { diff: addedFiles('a.txt'), stdout: '3' });
    expect(second).toEqual({
      next: {
        ...{ step: 2, script: 'node x', env: ['TOKEN=a ${{ b }}', 'N=3', 'FILES=a.txt'], secrets: ['TOKEN'] },
        files: [{ target: '/tmp/n', content: Buffer.from('n is 3').toString('base64') }],
      },
      ...{ restore: null, skipped: [1] },
    });
    // An executor that did not get the answer says it again.
    expect(await end(0, { diff: addedFiles('a.txt'), stdout: '3' })).toEqual(second);
    await until(publicId, 'processing');
    expect((await end(2, { diff: addedFiles('a.txt', 'b.txt'), stdout: 'b\0' })).next).toBeNull();
    expect((await routes.complete()).status).toBe(204);
    await until(publicId, 'completed');
    expect(await workspaceOf(publicId)).toMatchObject({
      ...{ state: 'completed', reason: null, jobId: job.id, stepCount: 3 },
      steps: [
        { step: 0, state: 'completed', stdout: '3', stat: { files: 1, addedLines: 1, deletedLines: 0 } },
        { step: 1, state: 'skipped' },
        { step: 2, state: 'completed', stdout: 'b␀', stat: { files: 2 }, outputs: { n: 3 } },
      ],
    });
    expect(await changesetsOf(publicId)).toEqual([
      { repository: 'acme/api', base_ref: 'refs/heads/main', head_ref: 'refs/heads/b', added_lines: 2 },
    ]);
    const { rows } = await sql`select step, skipped from batch_step_results order by id`.execute(instance.db);
    expect(rows).toEqual([
      { step: 0, skipped: false },
      { step: 1, skipped: true },
      { step: 2, skipped: false },
    ]);
  });

  test('runs again only what was changed, and nothing when nothing was', async () => {
    const left = (step: number) => ({ diff: addedFiles(`${step}.txt`), stdout: '3' });
    await execute(textOf(steps('one')));
    expect(await runNext(instance, left)).toEqual([0, 2]);
    const same = await execute(textOf(steps('one')));
    await until(same, 'completed');
    expect((await workspaceOf(same)).jobId).toBeNull();
    expect(await changesetsOf(same)).toMatchObject([{ added_lines: 1 }]);

    await execute(textOf(steps('two')));
    const edited = await attemptAt();
    const first = await edited.begin();
    expect(first).toMatchObject({ next: { step: 2, script: 'two' }, skipped: [] });
    const restored = await edited.routes.blob(first.restore?.digest ?? '');
    expect(await restored.text()).toBe(addedFiles('0.txt'));

    await execute(textOf(steps('one')), { noCache: true });
    expect(await runNext(instance, left)).toEqual([0, 2]);
  });

  test('does not use the results of another user', async () => {
    const text = textOf(`steps: [{run: a, container: alpine:3}]`);
    await execute(text);
    await runNext(instance);
    const bob = personOf('bob');
    await executeBatchSpec(control, bob, await create(text, bob), {});
    const { begin, routes } = await attemptAt();
    expect(await begin()).toMatchObject({ next: { step: 0 }, restore: null });
    const { rows } = await sql<{ diff: string }>`select diff from batch_step_results`.execute(instance.db);
    expect((await routes.blob(rows[0]?.diff ?? '')).status).toBe(404);
  });

  test('without a workspace is complete with what it has', async () => {
    const publicId = await create(textOf('steps: []'));
    await until(publicId, 'completed');
    expect(await changesetsOf(publicId)).toEqual([]);
  });

  test('of whose results no changesets can be made says why', async () => {
    const body = `steps: [{run: 'true', container: alpine:3}]`;
    const on = '{repository: acme/api, branches: [main, secret]}';
    const publicId = await execute(textOf(body).replace('{repository: acme/api}', on));
    for (const _ of ['main', 'secret']) await runNext(instance);
    await until(publicId, 'failed');
    const { buildFailure, workspaces } = await readBatchSpec(instance.db, ann, publicId);
    expect(buildFailure).toMatch('two changesets of acme/api have the branch b');
    expect(workspaces.completed).toBe(2);
  });

  test('in which every step was skipped has no changesets', async () => {
    const body = `steps: [{if: '\${{ eq repository.branch "x" }}', run: a, container: alpine:3}]`;
    const publicId = await execute(textOf(body));
    expect(await runNext(instance)).toEqual([]);
    await until(publicId, 'completed');
    expect(await changesetsOf(publicId)).toEqual([]);
  });

  test('is executed once, and a client runs its own', async () => {
    const publicId = await execute(textOf(steps('one')));
    await expect(executeBatchSpec(control, ann, publicId, {})).rejects.toMatchObject({
      code: 'batch_spec_executed',
    });
    await sql`update batch_specs set origin = 'client'`.execute(instance.db);
    const ofClient = { code: 'batch_spec_of_client' };
    await expect(executeBatchSpec(control, ann, publicId, {})).rejects.toMatchObject(ofClient);
    await expect(retryBatchSpec(control, ann, publicId, { includeCompleted: true })).rejects.toMatchObject(
      ofClient,
    );
    await expect(executeBatchSpec(control, personOf('bob'), publicId, {})).rejects.toMatchObject({
      code: 'batch_spec_not_found',
    });
  });
});

describe('a workspace', () => {
  const two = `steps: [{run: one, container: alpine:3}, {run: two, container: alpine:3}]`;

  test('goes on after the last step that is done when its executor was lost', async () => {
    const publicId = await execute(textOf(two));
    const { job, begin, end } = await attemptAt();
    await begin();
    await end(0, { diff: addedFiles('0.txt') });
    await sql`update jobs set lease_expires_at = clock_timestamp() - interval '1 minute' where id = ${job.id}`.execute(
      instance.db,
    );
    const again = await attemptAt('e2');
    expect(again.job.id).toBe(job.id);
    const first = await again.begin();
    expect(first.next).toMatchObject({ step: 1, script: 'two' });
    expect(first.restore).not.toBeNull();
    await expect(end(1, { diff: '' })).rejects.toThrow();
    expect((await again.end(1, { diff: addedFiles('0.txt', '1.txt') })).next).toBeNull();
    await again.routes.complete();
    await until(publicId, 'completed');
  });

  test('that is canceled while it waits or runs can be retried, and keeps the steps that are done', async () => {
    const publicId = await execute(textOf(two, ['acme/api', 'acme/web']));
    const running = await attemptAt();
    await running.begin();
    await running.end(0, { diff: addedFiles('0.txt') });
    await cancelBatchSpec(control, ann, publicId);
    await until(publicId, 'canceling');
    await expect(running.end(1, { diff: '' })).rejects.toThrow('invalid token');
    await expect(retryBatchSpec(control, ann, publicId, { includeCompleted: false })).rejects.toMatchObject({
      code: 'batch_spec_running',
    });
    await beat(); // its executor does not have it any more
    await until(publicId, 'canceled');
    await retryBatchSpec(control, ann, publicId, { includeCompleted: false });
    const ran = [await runNext(instance), await runNext(instance)];
    expect(ran).toEqual(expect.arrayContaining([[1], [0, 1]]));
    await until(publicId, 'completed');
    expect(await changesetsOf(publicId)).toHaveLength(2);
  });

  test('is canceled and retried alone', async () => {
    const publicId = await execute(textOf(two, ['acme/api', 'acme/web']));
    await until(publicId, 'queued');
    const { id } = await workspaceOf(publicId);
    await expect(retryWorkspaces(control, ann, [id])).rejects.toMatchObject({
      code: 'batch_workspace_running',
    });
    await cancelWorkspaces(control, ann, [id]);
    expect((await workspaceOf(publicId)).state).toBe('canceled');
    await retryWorkspaces(control, ann, [id]);
    await until(publicId, 'queued');
  });

  test('fails with its job, and with a job that is complete too early', async () => {
    const failed = await execute(textOf(two));
    const { begin, routes } = await attemptAt();
    await begin();
    await routes.failed('step 0 exited with 1', 'step_failed');
    await until(failed, 'failed');
    expect(await workspaceOf(failed)).toMatchObject({
      ...{ state: 'failed', reason: 'step 0 exited with 1' },
      steps: [{ step: 0, state: 'failed' }],
    });
    await retryBatchSpec(control, ann, failed, { includeCompleted: false });
    const early = await attemptAt();
    await early.begin();
    await early.routes.complete();
    await until(failed, 'failed');
    expect((await workspaceOf(failed)).reason).toBe('its executor has ended the job before its last step');
  });

  test.each([
    ['a template', `steps: [{run: '\${{ outputs.none }}', container: alpine:3}]`, 'map has no entry'],
    [
      'an output',
      `steps: [{run: a, container: alpine:3, outputs: {x: {value: '{', format: json}}}]`,
      'the output is no JSON',
    ],
  ])('does not go on after an error of %s', async (_, body, message) => {
    await execute(textOf(body));
    const { begin, end } = await attemptAt();
    await expect(begin().then(() => end(0, { diff: '' }))).rejects.toThrow(message);
  });

  test('does not take a diff that changes what is outside of the repository, nor a step that it was not given', async () => {
    await execute(textOf(two));
    const { begin, end } = await attemptAt();
    await begin();
    await expect(end(0, { diff: addedFiles('../x') })).rejects.toThrow('the diff is');
    await expect(end(1, { diff: '' })).rejects.toThrow('step 1 is none that this attempt was given');
  });

  test.each([
    ['not an image', 'step 1: its container image: '],
    [`sha256:${'0'.repeat(64)}`, `there is no blob sha256:${'0'.repeat(64)}`],
  ])('that cannot be started because of its container %j says why', async (container, reason) => {
    const bad = await execute(textOf(`steps: [{run: a, container: '${container}'}]`));
    await until(bad, 'failed');
    expect((await workspaceOf(bad)).reason).toMatch(reason);
  });
});

describe('files and settings', () => {
  const mounting = textOf(
    `steps: [{run: a, container: alpine:3, mount: [{path: ./lib, mountpoint: /lib/x}]}]`,
  );

  test('a step gets the files that it mounts, and its result is for these files alone', async () => {
    const staging = await openStaging(join(instance.directory, 'blobs/staging-test'));
    const deps = {
      db: instance.db,
      blobs: await openBlobStore(join(instance.directory, 'blobs'), staging),
      staging,
    };
    const send = (publicId: string, path: string, bytes: string) =>
      storeBatchFile(
        deps,
        ann,
        publicId,
        { path, modifiedAt: new Date() },
        Readable.from([Buffer.from(bytes)]),
      );
    const publicId = await create(mounting);
    await expect(executeBatchSpec(control, ann, publicId, {})).rejects.toMatchObject({
      code: 'batch_mount_missing',
    });
    const { digest } = await send(publicId, 'lib/a.sh', 'one');
    expect(await readBatchFile(instance.db, ann, publicId, 'lib/a.sh')).toMatchObject({ digest, bytes: 3 });
    await executeBatchSpec(control, ann, publicId, {});
    const { begin, end, routes } = await attemptAt();
    expect((await begin()).next?.files).toEqual([{ target: '/lib/x/a.sh', digest }]);
    expect(await (await routes.blob(digest)).text()).toBe('one');
    await end(0, { diff: '' });
    await routes.complete();
    await until(publicId, 'completed');

    const [same, other] = [await create(mounting), await create(mounting)];
    await send(same, 'lib/a.sh', 'one');
    await send(other, 'lib/a.sh', 'two');
    for (const spec of [same, other]) await executeBatchSpec(control, ann, spec, {});
    await until(same, 'completed');
    await until(other, 'queued');
    await expect(send(other, 'x', 'x')).rejects.toMatchObject({ code: 'batch_spec_executed' });
  });

  test('the jobs have what the settings say, unless the batch spec says otherwise', async () => {
    await setBatchSettings(instance.db, { accept: ['vm-hardware'], memoryMiB: 2_048, cpus: 2 }, 'root');
    const publicId = await execute(textOf(`steps: [{run: a, container: alpine:3}]`));
    await until(publicId, 'queued');
    await removeBatchSettings(instance.db);
    const { rows } =
      await sql`select accept, cpus, memory_mib, tenant from jobs where state = 'queued'`.execute(
        instance.db,
      );
    expect(rows).toEqual([{ accept: ['vm-emulated'], cpus: 2, memory_mib: 2_048, tenant: 'ann' }]);
  });
});
