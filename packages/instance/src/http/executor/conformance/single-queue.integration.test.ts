import type { Job } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../../../db/testing.ts';
import { jobHeaders } from '../../../testing/executor-client.ts';
import { forgetLosses, startTestInstance, type TestInstance } from '../../../testing/instance.ts';
import { addIndexing, answerOf, commit, upstreamExecutor } from './upstream.ts';

let server: TestServer;
let instance: TestInstance;
let executor: ReturnType<typeof upstreamExecutor>;
beforeAll(async () => {
  server = openTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  instance = await startTestInstance(await server.clone());
  executor = upstreamExecutor(instance);
  return () => instance.stop();
});

const record = async (id: number) =>
  (await (await instance.api('GET', `/api/jobs/${id}`)).json()) as Record<string, unknown>;
const entry = { key: 'setup.git.init', command: ['git', 'init'], startTime: '2023-01-02T03:04:15Z' };
const dequeued = (more: object = {}) => answerOf(executor.dequeue('codeintel', more));
const usual =
  '"env":["VM_MEM=12.0 GB","VM_MEM_GB=12","VM_MEM_MB=12288","VM_DISK=20.0 GB","VM_DISK_GB=20","VM_DISK_MB=20480"]';

describe('a dequeue', () => {
  test.each([
    ['', '', ''],
    ['4.2.1', '', ''],
    ['dev', '"version":2,', ',"dockerAuthConfig":{}'],
    ['5.3.0', '"version":2,', ',"dockerAuthConfig":{}'],
  ])('of version %j is answered byte by byte as by upstream', async (version, first, last) => {
    const { id } = await addIndexing(instance);
    const [status, text] = await dequeued({ version });
    const { token, redactedValues } = JSON.parse(text) as Job;
    const [authorization = '', upload = ''] = Object.keys(redactedValues ?? {});
    expect(token).toMatch(/^[0-9a-f]{40}$/);
    expect(upload).toMatch(/^[0-9a-f]{40}$/);
    expect(status).toBe(200);
    const src = `src code-intel upload -no-progress -repo acme/payments -commit ${commit} -root . -upload-route /.executors/scip/upload -file index.scip -associated-index-id ${id} -max-payload-size 4096`;
    expect(text).toBe(
      `{${first}"id":${id},"token":"${token}","repositoryName":"acme/payments","repositoryDirectory":"","commit":"${commit}",` +
        '"fetchTags":false,"shallowClone":true,"sparseCheckout":null,"files":{},"dockerSteps":[' +
        '{"key":"indexer","image":"sourcegraph/scip-typescript:autoindex",' +
        `"commands":["npm ci --ignore-scripts","scip-typescript index"],"dir":"",${usual}},` +
        `{"key":"upload","image":"src:1","commands":["${src}"],"dir":"",` +
        `"env":["SRC_ENDPOINT=https://fumehood.test","SRC_HEADER_AUTHORIZATION=${authorization}"]}],` +
        `"cliSteps":null,"redactedValues":{"token-executor ${upload}":"token-executor REDACTED","${upload}":"PASSWORD_REMOVED"}${last}}`,
    );
  });

  test('without a job is 204, and makes no token', async () => {
    expect(await dequeued()).toEqual([204, '']);
    const { rows } = await sql`select from upload_tokens`.execute(instance.db);
    expect(rows).toEqual([]);
  });

  test.each([[{ executorName: '' }], [{ executorName: null }], [{ executorName: undefined }]])(
    'of an executor without a name is 500, and leases nothing: %j',
    async (name) => {
      const { id } = await addIndexing(instance);
      expect(await dequeued(name)).toEqual([500, '{"error":"worker hostname cannot be empty"}']);
      expect(await record(id)).toMatchObject({ state: 'queued' });
    },
  );

  // Upstream answers with the error of its store.
  test('is 500 when the database fails, without the text of its error', async () => {
    await sql`alter table lines rename to gone`.execute(instance.db);
    expect(await dequeued()).toEqual([500, '{"error":"something went wrong in the instance"}']);
  });

  // Upstream checks the version after the lease, and the job is stuck until the lease expires.
  test('of an invalid version is 500, and leases nothing', async () => {
    const { id } = await addIndexing(instance);
    expect(await dequeued({ version: 'latest' })).toEqual([
      500,
      '{"error":"failed to check version \\"latest\\": Invalid Semantic Version"}',
    ]);
    expect(await record(id)).toMatchObject({ state: 'queued', attempt: 0 });
  });

  test('of a record that cannot be handed out is 500, and the job has failed', async () => {
    const { id } = await addIndexing(instance);
    await sql`update jobs set payload = payload - 'outfile'`.execute(instance.db);
    const [status, text] = await dequeued();
    expect(status).toBe(500);
    expect((JSON.parse(text) as { error: string }).error).toMatch(/^RecordTransformer: .*outfile/s);
    const failure = { message: expect.stringMatching(/^failed to transform record: .*outfile/s) as string };
    expect(await record(id)).toMatchObject({ state: 'failed', failure });
  });

  test('of a record that cannot be handed out is 500 even when the job cannot be marked as failed', async () => {
    await addIndexing(instance);
    await sql`update jobs set payload = '{}'`.execute(instance.db);
    await sql`alter table jobs add check (state <> 'failed')`.execute(instance.db);
    const [status, text] = await dequeued();
    expect([status, text]).toEqual([500, expect.stringContaining('RecordTransformer: ')]);
  });

  test('is 500 when the upload token cannot be stored, and the lease runs out', async () => {
    const { id } = await addIndexing(instance);
    await sql`alter table upload_tokens rename to gone`.execute(instance.db);
    expect((await dequeued())[0]).toBe(500);
    expect(await record(id)).toMatchObject({ state: 'processing' });
  });

  test('of a job that was leased before makes a new token, and the former one is dead', async () => {
    const first = await executor.leased();
    await sql`update jobs set lease_expires_at = clock_timestamp() - interval '1 minute'`.execute(
      instance.db,
    );
    await expect.poll(() => record(first.id), { timeout: 20_000 }).toMatchObject({ state: 'queued' });
    await forgetLosses(instance);
    const second = JSON.parse((await dequeued())[1]) as Job;
    expect(second.id).toBe(first.id);
    expect((await answerOf(executor.onJob(first, 'addExecutionLogEntry', entry)))[0]).toBe(401);
    expect((await answerOf(executor.onJob(second, 'addExecutionLogEntry', entry)))[0]).toBe(200);
  });

  test('leases only a job that fits into the size that the executor says', async () => {
    await addIndexing(instance, { cpus: 4, memoryMiB: 8192 });
    expect((await dequeued({ numCPUs: 2 }))[0]).toBe(204);
    expect((await dequeued({ memory: '4G' }))[0]).toBe(204);
    expect((await dequeued({ numCPUs: 4, memory: '8G', diskSpace: '20G' }))[0]).toBe(200);
  });

  test('with an invalid size is refused', async () => {
    const [status, text] = await dequeued({ memory: 'much' });
    expect([status, text]).toEqual([400, expect.stringMatching(/^Failed to unmarshal payload: .*memory/s)]);
  });

  test('gives a lease of 25 seconds', async () => {
    await executor.leased();
    const { rows } = await sql`select lease_ms from jobs`.execute(instance.db);
    expect(rows).toEqual([{ lease_ms: 25_000 }]);
  });
});

describe('a log entry', () => {
  const output = async () => {
    const { rows } = await sql<{ data: Buffer }>`
      select data from job_events where type = 'output' order by seq
    `.execute(instance.db);
    return rows.map(({ data }) => data.toString());
  };

  test('is answered with its bare number, from 1, and stored whole', async () => {
    const job = await executor.leased();
    const finished = { ...entry, exitCode: 0, out: 'stdout: done\n', durationMs: 20 };
    expect(await answerOf(executor.onJob(job, 'addExecutionLogEntry', finished))).toEqual([200, '1']);
    expect(await answerOf(executor.onJob(job, 'addExecutionLogEntry', entry))).toEqual([200, '2']);
    const { rows } = await sql`
      select key, command, start_time, exit_code, duration_ms from log_entries where entry = 1
    `.execute(instance.db);
    expect(rows).toEqual([
      {
        ...{ key: 'setup.git.init', command: ['git', 'init'], exit_code: 0, duration_ms: 20 },
        start_time: new Date('2023-01-02T03:04:15Z'),
      },
    ]);
    expect(await output()).toEqual(['stdout: done\n']);
  });

  test('is replaced with 204; output that is sent whole again is stored once', async () => {
    const job = await executor.leased();
    await executor.onJob(job, 'addExecutionLogEntry', { ...entry, out: 'stdout: a\n' });
    const more = { ...entry, entryId: 1, exitCode: 1, out: 'stdout: a\nstdout: b\n' };
    expect(await answerOf(executor.onJob(job, 'updateExecutionLogEntry', more))).toEqual([204, '']);
    expect(await output()).toEqual(['stdout: a\n', 'stdout: b\n']);
  });

  // Upstream answers with an unknown job, as after the end of the lease, so that an executor drops a good job.
  test('with an unknown number is 404 with a code, and the lease goes on', async () => {
    const job = await executor.leased();
    const asked = executor.onJob(job, 'updateExecutionLogEntry', { ...entry, entryId: 7 });
    const [status, text] = await answerOf(asked);
    expect([status, JSON.parse(text)]).toEqual([404, expect.objectContaining({ code: 'entry_not_found' })]);
    expect((await executor.onJob(job, 'markComplete')).status).toBe(204);
  });

  test('whose output is another one than before has the new output in place of the old one', async () => {
    const job = await executor.leased();
    await executor.onJob(job, 'addExecutionLogEntry', { ...entry, out: 'stdout: one\nstdout: two\n' });
    const update = (out: string) =>
      executor.onJob(job, 'updateExecutionLogEntry', { ...entry, entryId: 1, out });
    await update('stdout: one\n'); // an earlier update that comes late
    expect(await output()).toEqual(['stdout: one\nstdout: two\n']);
    await update('stdout: REDACTED, and much more than before\n');
    expect(await output()).toEqual(['stdout: REDACTED, and much more than before\n']);
    await update('stdout: short\n');
    expect(await output()).toEqual(['stdout: short\n']);
    await update('stdout: short\nstdout: longer\n');
    expect(await output()).toEqual(['stdout: short\n', 'stdout: longer\n']);
  });

  test('has ended when it has an exit code, also without a duration', async () => {
    const job = await executor.leased();
    await executor.onJob(job, 'addExecutionLogEntry', entry);
    await executor.onJob(job, 'updateExecutionLogEntry', { ...entry, entryId: 1, exitCode: 2 });
    const { rows } = await sql<{ ms: number }>`
      select duration_ms as ms from log_entries where exit_code = 2
    `.execute(instance.db);
    expect(rows[0]?.ms).toBeGreaterThan(0);
  });

  test('is 500 when the database fails, without the text of its error', async () => {
    const job = await executor.leased();
    await sql`alter table log_entries rename to gone`.execute(instance.db);
    const asked = executor.onJob(job, 'addExecutionLogEntry', entry);
    expect(await answerOf(asked)).toEqual([500, '{"error":"something went wrong in the instance"}']);
  });

  // Upstream's token is still valid then, and its answer is an unknown job.
  test('after the end of its lease is 401', async () => {
    const job = await executor.leased();
    await executor.onJob(job, 'markComplete');
    const asked = executor.onJob(job, 'addExecutionLogEntry', entry);
    expect(await answerOf(asked)).toEqual([401, 'invalid token']);
  });
});

/** Locks the job's row, ends its lease while a request waits for the lock, and unlocks it. Returns the request's answer. */
async function whileLeaseEnds(job: Job, ask: () => Promise<Response>): Promise<[number, string]> {
  return await instance.db
    .transaction()
    .execute(async (tx) => {
      await sql`select from jobs where id = ${job.id} for update`.execute(tx);
      const asked = answerOf(ask());
      await expect
        .poll(
          async () =>
            (await sql`select from pg_stat_activity where wait_event_type = 'Lock'`.execute(instance.db)).rows
              .length,
          { timeout: 20_000 },
        )
        .toBe(1);
      await sql`update jobs set lease_expires_at = clock_timestamp() - interval '1 hour' where id = ${job.id}`.execute(
        tx,
      );
      return { asked };
    })
    .then(({ asked }) => asked);
}

describe('a mark', () => {
  test.each([
    ['markComplete', {}, 'completed', null],
    ['markErrored', { errorMessage: 'oops' }, 'failed', 'oops'],
    ['markFailed', { errorMessage: 'oops' }, 'failed', 'oops'],
  ])('%s is 204, stores its message, and ends the token', async (operation, more, state, message) => {
    const job = await executor.leased();
    expect(await answerOf(executor.onJob(job, operation, more))).toEqual([204, '']);
    expect(await record(job.id)).toMatchObject({ state, failure: message && { message } });
    const { rows } = await sql`select token_sha256 from jobs`.execute(instance.db);
    expect(rows).toEqual([{ token_sha256: null }]);
    // Upstream answers with 404, because it looks at the token later.
    expect(await answerOf(executor.onJob(job, operation, more))).toEqual([401, 'invalid token']);
  });

  const marks = [
    ['markComplete', {}],
    ['markErrored', { errorMessage: 'oops' }],
    ['markFailed', { errorMessage: 'oops' }],
  ] as const;
  test.each(marks)(
    'is 404 with `null` when the lease ends before it commits: %s',
    async (operation, more) => {
      const job = await executor.leased();
      const ended = whileLeaseEnds(job, () => executor.onJob(job, operation, more));
      expect(await ended).toEqual([404, 'null']);
    },
  );

  test.each(marks)(
    'is 500 when the database fails, and the token stays valid: %s',
    async (operation, more) => {
      const job = await executor.leased();
      await sql`alter table attempts rename to gone`.execute(instance.db);
      const asked = executor.onJob(job, operation, more);
      expect(await answerOf(asked)).toEqual([500, '{"error":"something went wrong in the instance"}']);
      expect((await answerOf(executor.onJob(job, 'addExecutionLogEntry', entry)))[0]).toBe(200);
    },
  );
});

test('a log entry whose lease ends before it commits is of an unknown job', async () => {
  const job = await executor.leased();
  const ended = whileLeaseEnds(job, () => executor.onJob(job, 'addExecutionLogEntry', entry));
  expect(await ended).toEqual([500, '{"error":"unknown job"}']);
});

describe('a heartbeat', () => {
  const telemetry = {
    ...{ version: 'V2', os: 'linux', architecture: 'amd64', dockerVersion: '27.1', executorVersion: '5.3.0' },
    ...{ gitVersion: '2.45', igniteVersion: '', srcCliVersion: '7.6.0', prometheusMetrics: 'up 1\n' },
  };
  const heartbeat = (body: object) =>
    answerOf(executor.executor('codeintel/heartbeat', { executorName: 'up', ...telemetry, ...body }));

  test('names the jobs that are held and those to cancel, and stores the executor', async () => {
    const { id } = await executor.leased();
    expect(await heartbeat({ jobIds: [id, 4711] })).toEqual([200, `{"knownIds":["${id}"],"cancelIds":[]}`]);
    await instance.api('POST', `/api/jobs/${id}/cancel`);
    expect(await heartbeat({ jobIds: [id] })).toEqual([200, `{"knownIds":["${id}"],"cancelIds":["${id}"]}`]);
    const { rows } = await sql`select name, version, queues from executors`.execute(instance.db);
    expect(rows).toEqual([{ name: 'up', version: '5.3.0', queues: ['codeintel'] }]);
  });

  // Upstream's token lives until the executor has marked the job; ours is good for the log alone from the cancel on.
  test('that no longer names a canceled job ends it', async () => {
    const job = await executor.leased();
    await instance.api('POST', `/api/jobs/${job.id}/cancel`);
    const mark = executor.onJob(job, 'markFailed', { errorMessage: 'canceled' });
    expect((await answerOf(mark))[0]).toBe(401);
    expect(await record(job.id)).toMatchObject({ state: 'processing' });
    await heartbeat({ jobIds: [] });
    expect(await record(job.id)).toMatchObject({ state: 'canceled' });
  });

  test('larger than the limit is 413', async () => {
    expect((await heartbeat({ prometheusMetrics: 'x'.repeat(5 * 2 ** 20) }))[0]).toBe(413);
  });

  test('of an executor without a name is 500', async () => {
    expect(await heartbeat({ executorName: '' })).toEqual([
      500,
      '{"error":"worker hostname cannot be empty"}',
    ]);
  });

  test('is 500 when the executor cannot be stored', async () => {
    await sql`alter table executors rename to gone`.execute(instance.db);
    expect((await heartbeat({ jobIds: [] }))[0]).toBe(500);
  });

  test('takes ids as numbers and as strings', async () => {
    const { id } = await executor.leased();
    for (const jobIds of [[id], [String(id)]])
      expect(await heartbeat({ jobIds })).toEqual([200, `{"knownIds":["${id}"],"cancelIds":[]}`]);
    expect((await heartbeat({ jobIds: ['x'] }))[0]).toBe(400);
  });

  test('may have null for every list, or a name alone', async () => {
    const nothing = { jobIds: null, jobIdsByQueue: null, queueNames: null, prometheusMetrics: null };
    expect(await heartbeat(nothing)).toEqual([200, '{"knownIds":[],"cancelIds":[]}']);
    const ping = executor.executor('codeintel/heartbeat', { executorName: 'up' });
    expect(await answerOf(ping)).toEqual([200, '{"knownIds":[],"cancelIds":[]}']);
  });
});

test.each([
  ['not JSON', '{'],
  ['empty', ''],
  ['JSON of another type', '[]'],
  ['JSON with a field of another type', '{"executorName":1}'],
])('a body that is %s is 400', async (_, body) => {
  const job = await executor.leased();
  for (const [path, headers] of [
    ['codeintel/dequeue', { authorization: `token-executor ${instance.credential}` }],
    ['codeintel/heartbeat', { authorization: `token-executor ${instance.credential}` }],
    ['codeintel/addExecutionLogEntry', jobHeaders(job, 'up')],
    ['codeintel/markFailed', jobHeaders(job, 'up')],
  ] as const) {
    const request = { method: 'POST', path: `/.executors/queue/${path}`, headers, body };
    const [status, text] = await answerOf(instance.executor().raw(request));
    expect([path, status, text]).toEqual([
      path,
      400,
      expect.stringMatching(/^Failed to unmarshal payload: /),
    ]);
  }
});
