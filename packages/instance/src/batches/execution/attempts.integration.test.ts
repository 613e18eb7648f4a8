import { join } from 'node:path';
import { Readable } from 'node:stream';
import { stepDiffSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../../db/testing.ts';
import type { JobRow } from '../../queue/job.ts';
import type { Locked } from '../../queue/kind.ts';
import { readJob } from '../../queue/sql/jobs.ts';
import { readSecretsKey } from '../../secrets/key.ts';
import { openVault } from '../../secrets/vault.ts';
import { batchDigests } from '../retention.ts';
import { ann, changesetsOf, type ExecutionBench, specOf, startExecution } from '../testing/execution.ts';
import { addedFiles, runNext } from '../testing/scripted.ts';
import { cancelBatchSpec, cancelWorkspaces, retryBatchSpec, retryWorkspaces } from './control.ts';
import { makeNextStep } from './next-step.ts';

/** Attempts at the workspaces of a batch spec that are lost, canceled, repeated or faulty, with an executor that runs nothing. */
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

/** Sends a heartbeat of an executor that has no job any more. */
const beat = () =>
  bench.instance.executor().heartbeat({
    ...{ queueNames: ['batches'], jobIdsByQueue: [], fumehood: { tiers: ['vm-emulated'], leases: [] } },
  });

describe('a workspace', () => {
  const two = `steps: [{run: one, container: alpine:3}, {run: two, container: alpine:3}]`;

  test('goes on after the last step that is done when its executor was lost', async () => {
    const publicId = await bench.execute(specOf(two));
    const { job, begin, end } = await bench.attemptAt();
    await begin();
    await end(0, { diff: addedFiles('0.txt') });
    await sql`update jobs set lease_expires_at = clock_timestamp() - interval '1 minute' where id = ${job.id}`.execute(
      bench.instance.db,
    );
    const again = await bench.attemptAt('e2');
    expect(again.job.id).toBe(job.id);
    const first = await again.begin();
    expect(first.next).toMatchObject({ step: 1, script: 'two' });
    expect(first.restore).not.toBeNull();
    await expect(end(1, { diff: '' })).rejects.toThrow();
    expect((await again.end(1, { diff: addedFiles('0.txt', '1.txt') })).next).toBeNull();
    await again.routes.complete();
    await bench.until(publicId, 'completed');
  });

  test('that is canceled while it waits or runs can be retried, and keeps the steps that are done', async () => {
    const publicId = await bench.execute(specOf(two, ['acme/api', 'acme/web']));
    const running = await bench.attemptAt();
    await running.begin();
    await running.end(0, { diff: addedFiles('0.txt') });
    await cancelBatchSpec(bench.control, ann, publicId);
    await bench.until(publicId, 'canceling');
    await expect(running.end(1, { diff: '' })).rejects.toThrow('invalid token');
    await expect(
      retryBatchSpec(bench.control, ann, publicId, { includeCompleted: false }),
    ).rejects.toMatchObject({
      code: 'batch_spec_running',
    });
    await beat(); // its executor does not have it any more
    await bench.until(publicId, 'canceled');
    await retryBatchSpec(bench.control, ann, publicId, { includeCompleted: false });
    const ran = [await runNext(bench.instance), await runNext(bench.instance)];
    expect(ran).toEqual(expect.arrayContaining([[1], [0, 1]]));
    await bench.until(publicId, 'completed');
    expect(await changesetsOf(bench.instance, publicId)).toHaveLength(2);
  });

  test('is canceled and retried alone', async () => {
    const publicId = await bench.execute(specOf(two, ['acme/api', 'acme/web']));
    await bench.until(publicId, 'queued');
    const { id } = await bench.workspaceOf(publicId);
    await expect(retryWorkspaces(bench.control, ann, [id])).rejects.toMatchObject({
      code: 'batch_workspace_running',
    });
    await cancelWorkspaces(bench.control, ann, [id]);
    expect((await bench.workspaceOf(publicId)).state).toBe('canceled');
    await retryWorkspaces(bench.control, ann, [id]);
    await bench.until(publicId, 'queued');
  });

  test('is retried with those of other batch specs, which are locked in one order whoever asks', async () => {
    const specs = [await bench.execute(specOf(two)), await bench.execute(specOf(two))].sort();
    const [first = '', second = ''] = specs;
    for (const publicId of specs) {
      await bench.until(publicId, 'queued');
      await cancelBatchSpec(bench.control, ann, publicId);
    }
    const ids = [(await bench.workspaceOf(second)).id, (await bench.workspaceOf(first)).id];
    const { db } = bench.instance;
    const retried = await db.transaction().execute(async (tx) => {
      await sql`select from batch_specs where public_id = ${first} for update`.execute(tx);
      const retrying = retryWorkspaces(bench.control, ann, ids);
      const waiting = async () =>
        (await sql`select from pg_locks where not granted and locktype = 'transactionid'`.execute(db)).rows
          .length;
      await expect.poll(waiting, { interval: 20, timeout: 20_000 }).toBe(1);
      await sql`select from batch_specs where public_id = ${second} for update nowait`.execute(tx);
      return { retrying };
    });
    await retried.retrying;
    for (const publicId of specs) await bench.until(publicId, 'queued');
  });

  test('fails with its job, and with a job that is complete too early', async () => {
    const failed = await bench.execute(specOf(two));
    const { begin, routes } = await bench.attemptAt();
    await begin();
    await routes.failed('step 0 exited with 1', 'step_failed');
    await bench.until(failed, 'failed');
    expect(await bench.workspaceOf(failed)).toMatchObject({
      ...{ state: 'failed', reason: 'step 0 exited with 1' },
      steps: [{ step: 0, state: 'failed' }],
    });
    await retryBatchSpec(bench.control, ann, failed, { includeCompleted: false });
    const early = await bench.attemptAt();
    await early.begin();
    await early.routes.complete();
    await bench.until(failed, 'failed');
    expect((await bench.workspaceOf(failed)).reason).toBe(
      'its executor has ended the job before its last step',
    );
  });

  // It is refused before only where it is rendered in any case.
  const placeholder = '${{ if true }}${{ outputs.none }}${{ end }}';
  const readable = `{run: a, container: alpine:3, outputs: {x: {value: '\${{ step.stdout }}', format: json}}}`;
  test.each([
    [
      'the command of its first step',
      `{run: '${placeholder}', container: alpine:3}`,
      'step 1: run, character 26: map has no entry',
    ],
    ['an output', readable, 'step 1: outputs.x: the output is no JSON'],
    [
      'outputs',
      readable,
      'step 1: outputs: the outputs of a step have more',
      'x',
      '['.repeat(200) + ']'.repeat(200),
    ],
    ['a diff', '{run: a, container: alpine:3}', 'step 1: its diff: the diff is', '../x'],
  ])(
    'fails by %s that cannot be used, and says where',
    async (_, step, reason, changed = 'x', stdout = '{') => {
      const publicId = await bench.execute(specOf(`steps: [${step}]`));
      const { begin, end, routes } = await bench.attemptAt();
      const ask = async () => await begin().then(() => end(0, { diff: addedFiles(changed), stdout }));
      await expect(ask()).rejects.toThrow(reason);
      await routes.failed('the instance refused', 'instance_refused');
      await bench.until(publicId, 'failed');
      expect(await bench.workspaceOf(publicId)).toMatchObject({
        reason: expect.stringMatching(new RegExp(`^${reason}`)),
        steps: [{ step: 0, state: 'failed', stat: null }],
      });
    },
  );

  test.each([
    ['if', `if: '${placeholder}', run: b`],
    ['run', `run: '${placeholder}'`],
    ['env.A', `run: b, env: {A: '${placeholder}'}`],
    ['files./a', `run: b, files: {/a: '${placeholder}'}`],
  ])('keeps the result of a step when `%s` of the next one cannot be used', async (place, next) => {
    const spec = `steps: [{run: a, container: alpine:3}, {${next}, container: alpine:3}]`;
    const publicId = await bench.execute(specOf(spec));
    const reason = `step 2: ${place}, character 26: map has no entry`;
    const { begin, end, routes } = await bench.attemptAt();
    await begin();
    // An executor that did not get the answer says it again.
    for (let n = 0; n < 2; n += 1)
      await expect(end(0, { diff: addedFiles('0.txt') })).rejects.toThrow(reason);
    await routes.failed('the instance refused', 'instance_refused');
    await bench.until(publicId, 'failed');
    const failed = { reason: expect.stringContaining(reason) };
    const steps = [
      { step: 0, state: 'completed', stat: { files: 1 } },
      { step: 1, state: 'failed' },
    ];
    expect(await bench.workspaceOf(publicId)).toMatchObject({ ...failed, steps });

    await retryBatchSpec(bench.control, ann, publicId, { includeCompleted: false });
    const again = await bench.attemptAt();
    await expect(again.begin()).rejects.toThrow(reason);
    await again.routes.failed('the instance refused', 'instance_refused');
    await bench.until(publicId, 'failed');
    expect(await bench.workspaceOf(publicId)).toMatchObject({
      ...failed,
      steps: [
        { step: 0, state: 'cached' },
        { step: 1, state: 'failed' },
      ],
    });
  });

  test('does not run a step again when the question after the one before it comes late', async () => {
    const publicId = await bench.execute(specOf(two));
    const { begin, end, routes } = await bench.attemptAt();
    await begin();
    await end(0, { diff: addedFiles('0.txt') });
    expect((await end(1, { diff: addedFiles('1.txt') })).next).toBeNull();
    await expect(end(0, { diff: addedFiles('0.txt') })).rejects.toThrow('step 0 is none that');
    await routes.complete();
    await bench.until(publicId, 'completed');
  });

  test('keeps a diff that was sent and not reported yet, however old it is', async () => {
    await bench.execute(specOf(two));
    const { begin, routes } = await bench.attemptAt();
    await begin();
    const { digest } = stepDiffSchema.parse(await (await routes.stepDiff(0, 'sent')).json());
    expect(await batchDigests(bench.instance.db)).toContain(digest);
  });

  test('holds nothing while a diff is read', async () => {
    await bench.execute(specOf(two));
    const { db, directory } = bench.instance;
    const { job, begin } = await bench.attemptAt();
    await begin();
    const row = (await readJob(db, job.id)) as JobRow;
    let held = 0;
    const locked: Locked = async (write) => {
      held += 1;
      return await write(db, row).finally(() => (held -= 1));
    };
    const vault = openVault(await readSecretsKey(join(directory, 'run/secrets-key')));
    const heldAtRead: number[] = [];
    const read = () => {
      heldAtRead.push(held);
      return Readable.from([addedFiles('0.txt')].map((text) => Buffer.from(text)));
    };
    const done = { step: 0, stdout: '', stderr: '', diff: `sha256:${'0'.repeat(64)}`, diffBytes: 1 };
    expect((await makeNextStep({ vault, blobs: { read } })(locked, done)).next?.step).toBe(1);
    expect(heldAtRead).toEqual([0]);
  });

  test('does not take a diff that changes what is outside of the repository, nor a step that it was not given', async () => {
    await bench.execute(specOf(two));
    const { begin, end } = await bench.attemptAt();
    await begin();
    await expect(end(0, { diff: addedFiles('../x') })).rejects.toThrow('step 1: its diff: the diff is');
    await expect(end(1, { diff: '' })).rejects.toThrow('step 1 is none that this attempt was given');
  });

  test.each([
    ['not an image', 'step 1: its container image: '],
    [`sha256:${'0'.repeat(64)}`, `there is no blob sha256:${'0'.repeat(64)}`],
  ])('that cannot be started because of its container %j says why', async (container, reason) => {
    const bad = await bench.execute(specOf(`steps: [{run: a, container: '${container}'}]`));
    await bench.until(bad, 'failed');
    expect((await bench.workspaceOf(bad)).reason).toMatch(reason);
  });
});
