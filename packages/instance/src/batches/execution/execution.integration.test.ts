import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setBatchSettingsSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openBlobStore } from '../../blobs/store.ts';
import { openTestServer, type TestServer } from '../../db/testing.ts';
import { readSecretsKey } from '../../secrets/key.ts';
import { setSecret } from '../../secrets/secrets.ts';
import { openVault } from '../../secrets/vault.ts';
import { openStaging } from '../../staging.ts';
import { readBatchFile, storeBatchFile } from '../files.ts';
import { removeBatchSettings, setBatchSettings } from '../settings.ts';
import { readBatchSpec } from '../specs.ts';
import { ann, changesetsOf, type ExecutionBench, specOf, startExecution } from '../testing/execution.ts';
import { addedFiles, personOf, runNext } from '../testing/scripted.ts';
import { executeBatchSpec, retryBatchSpec } from './control.ts';

/** Batch specs from their text to their results, with an executor that runs nothing. */
let server: TestServer;
let bench: ExecutionBench;
beforeAll(async () => {
  server = openTestServer();
  bench = await startExecution(await server.clone());
});
afterAll(async () => {
  await bench.instance.stop();
  await server.stop();
});
beforeEach(() => bench.clear());

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

describe('a batch spec', () => {
  test('runs step after step, and what its last step has left becomes changesets', async () => {
    const vault = openVault(await readSecretsKey(join(bench.instance.directory, 'run/secrets-key')));
    await setSecret(bench.instance.db, vault, { tenant: 'ann', name: 'TOKEN', value: 'a ${{ b }}' });
    const publicId = await bench.execute(specOf(steps('node x')));
    const { job, begin, end, routes } = await bench.attemptAt();
    expect(job).toMatchObject({
      ...{ repositoryName: 'acme/api', commit: bench.commit, repositoryDirectory: 'repository' },
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
    await bench.until(publicId, 'processing');
    expect((await end(2, { diff: addedFiles('a.txt', 'b.txt'), stdout: 'b\0' })).next).toBeNull();
    expect((await routes.complete()).status).toBe(204);
    await bench.until(publicId, 'completed');
    expect(await bench.workspaceOf(publicId)).toMatchObject({
      ...{ state: 'completed', reason: null, jobId: job.id, stepCount: 3 },
      steps: [
        { step: 0, state: 'completed', stdout: '3', stat: { files: 1, addedLines: 1, deletedLines: 0 } },
        { step: 1, state: 'skipped' },
        { step: 2, state: 'completed', stdout: 'b␀', stat: { files: 2 }, outputs: { n: 3 } },
      ],
    });
    expect(await changesetsOf(bench.instance, publicId)).toEqual([
      { repository: 'acme/api', base_ref: 'refs/heads/main', head_ref: 'refs/heads/b', added_lines: 2 },
    ]);
    const { rows } = await sql`select step, skipped from batch_step_results order by id`.execute(
      bench.instance.db,
    );
    expect(rows).toEqual([
      { step: 0, skipped: false },
      { step: 1, skipped: true },
      { step: 2, skipped: false },
    ]);
  });

  test('runs again only what was changed, and nothing when nothing was', async () => {
    const left = (step: number) => ({ diff: addedFiles(`${step}.txt`), stdout: '3' });
    await bench.execute(specOf(steps('one')));
    expect(await runNext(bench.instance, left)).toEqual([0, 2]);
    const same = await bench.execute(specOf(steps('one')));
    await bench.until(same, 'completed');
    expect((await bench.workspaceOf(same)).jobId).toBeNull();
    expect(await changesetsOf(bench.instance, same)).toMatchObject([{ added_lines: 1 }]);

    await bench.execute(specOf(steps('two')));
    const edited = await bench.attemptAt();
    const first = await edited.begin();
    expect(first).toMatchObject({ next: { step: 2, script: 'two' }, skipped: [] });
    const restored = await edited.routes.blob(first.restore?.digest ?? '');
    expect(await restored.text()).toBe(addedFiles('0.txt'));

    await bench.execute(specOf(steps('one')), { noCache: true });
    expect(await runNext(bench.instance, left)).toEqual([0, 2]);
  });

  test('does not use the results of another user', async () => {
    const text = specOf(`steps: [{run: a, container: alpine:3}]`);
    await bench.execute(text);
    await runNext(bench.instance);
    const bob = personOf('bob');
    await executeBatchSpec(bench.control, bob, await bench.create(text, bob), {});
    const { begin, routes } = await bench.attemptAt();
    expect(await begin()).toMatchObject({ next: { step: 0 }, restore: null });
    const { rows } = await sql<{ diff: string }>`select diff from batch_step_results`.execute(
      bench.instance.db,
    );
    expect((await routes.blob(rows[0]?.diff ?? '')).status).toBe(404);
  });

  test('without a workspace is complete with what it has', async () => {
    const publicId = await bench.create(specOf('steps: []'));
    await bench.until(publicId, 'completed');
    expect(await changesetsOf(bench.instance, publicId)).toEqual([]);
  });

  test('of whose results no changesets can be made says why', async () => {
    const body = `steps: [{run: 'true', container: alpine:3}]`;
    const on = '{repository: acme/api, branches: [main, secret]}';
    const publicId = await bench.execute(specOf(body).replace('{repository: acme/api}', on));
    for (const _ of ['main', 'secret']) await runNext(bench.instance);
    await bench.until(publicId, 'failed');
    const { buildFailure, workspaces } = await readBatchSpec(bench.instance.db, ann, publicId);
    expect(buildFailure).toMatch('two changesets of acme/api have the branch b');
    expect(workspaces.completed).toBe(2);
  });

  test('in which every step was skipped has no changesets', async () => {
    const body = `steps: [{if: '\${{ eq repository.branch "x" }}', run: a, container: alpine:3}]`;
    const publicId = await bench.execute(specOf(body));
    expect(await runNext(bench.instance)).toEqual([]);
    await bench.until(publicId, 'completed');
    expect(await changesetsOf(bench.instance, publicId)).toEqual([]);
  });

  test('is executed once, and a client runs its own', async () => {
    const publicId = await bench.execute(specOf(steps('one')));
    await expect(executeBatchSpec(bench.control, ann, publicId, {})).rejects.toMatchObject({
      code: 'batch_spec_executed',
    });
    await sql`update batch_specs set origin = 'client'`.execute(bench.instance.db);
    const ofClient = { code: 'batch_spec_of_client' };
    await expect(executeBatchSpec(bench.control, ann, publicId, {})).rejects.toMatchObject(ofClient);
    await expect(
      retryBatchSpec(bench.control, ann, publicId, { includeCompleted: true }),
    ).rejects.toMatchObject(ofClient);
    await expect(executeBatchSpec(bench.control, personOf('bob'), publicId, {})).rejects.toMatchObject({
      code: 'batch_spec_not_found',
    });
  });
});

describe('files and settings', () => {
  const mounting = specOf(
    `steps: [{run: a, container: alpine:3, mount: [{path: ./lib, mountpoint: /lib/x}]}]`,
  );

  test('a step gets the files that it mounts, and its result is for these files alone', async () => {
    const staging = await openStaging(join(bench.instance.directory, 'blobs/staging-test'));
    const deps = {
      db: bench.instance.db,
      blobs: await openBlobStore(join(bench.instance.directory, 'blobs'), staging),
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
    const publicId = await bench.create(mounting);
    await expect(executeBatchSpec(bench.control, ann, publicId, {})).rejects.toMatchObject({
      code: 'batch_mount_missing',
    });
    const { digest } = await send(publicId, 'lib/a.sh', 'one');
    expect(await readBatchFile(bench.instance.db, ann, publicId, 'lib/a.sh')).toMatchObject({
      digest,
      bytes: 3,
    });
    await executeBatchSpec(bench.control, ann, publicId, {});
    const { begin, end, routes } = await bench.attemptAt();
    expect((await begin()).next?.files).toEqual([{ target: '/lib/x/a.sh', digest }]);
    expect(await (await routes.blob(digest)).text()).toBe('one');
    await end(0, { diff: '' });
    await routes.complete();
    await bench.until(publicId, 'completed');

    const [same, other] = [await bench.create(mounting), await bench.create(mounting)];
    await send(same, 'lib/a.sh', 'one');
    await send(other, 'lib/a.sh', 'two');
    for (const spec of [same, other]) await executeBatchSpec(bench.control, ann, spec, {});
    await bench.until(same, 'completed');
    await bench.until(other, 'queued');
    await expect(send(other, 'x', 'x')).rejects.toMatchObject({ code: 'batch_spec_executed' });
  });

  test('the jobs have what the settings say, unless the batch spec says otherwise', async () => {
    const settings = setBatchSettingsSchema.parse({ accept: ['vm-hardware'], memoryMiB: 2_048, cpus: 2 });
    await setBatchSettings(bench.instance.db, settings, 'root');
    const publicId = await bench.execute(specOf(`steps: [{run: a, container: alpine:3}]`));
    await bench.until(publicId, 'queued');
    await removeBatchSettings(bench.instance.db);
    const { rows } = await sql`
      select accept, cpus, memory_mib, tenant from jobs where state = 'queued'
    `.execute(bench.instance.db);
    expect(rows).toEqual([{ accept: ['vm-emulated'], cpus: 2, memory_mib: 2_048, tenant: 'ann' }]);
  });
});
