import { systemClock } from '@fumehood/base';
import type { Job, QueueName } from '@fumehood/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeUpstream } from '../testing/fake-upstream.ts';
import { connect } from './connect.ts';
import { openHttp } from './http.ts';
import { openJobClient } from './job-client.ts';
import { openPhaseLog } from './phase-log.ts';
import { openUpstreamQueue } from './upstream-queue.ts';

/** A job without steps and without a version, in upstream's form, as the route of one queue answers it. */
const v1 = {
  ...{ id: 1, token: 'sometoken', repositoryName: '', repositoryDirectory: '', commit: '' },
  ...{ fetchTags: false, shallowClone: false, sparseCheckout: null, files: {}, dockerSteps: null },
  ...{ cliSteps: null, redactedValues: null },
};
const executor = {
  credential: { secret: 'hunter2', renew: () => Promise.resolve(false) },
  ...{ name: 'deadbeef', version: '5.2.0', tiers: ['vm-hardware' as const] },
  ...{ arch: 'x64' as const, labels: [], network: false, machine: 'here' },
};
const each = { cpus: 4, memoryMiB: 12_288, scratchMiB: 20_480 };
const offer = { free: each, total: each };
const queues: QueueName[] = ['codeintel', 'batches'];
const { signal } = new AbortController();

let upstream: FakeUpstream;
beforeEach(async () => {
  upstream = await FakeUpstream.start();
});
afterEach(() => upstream.stop());

const queueClient = (single: QueueName | null) =>
  openUpstreamQueue(openHttp(upstream.url), executor, single, each);
const jobClient = (queue: QueueName, redactedValues: Job['redactedValues'] = null) =>
  openJobClient(
    openHttp(upstream.url),
    { id: 42, token: 'sometoken', queue, redactedValues },
    executor.name,
    systemClock,
    signal,
  );
const reference = (id: number, queue: QueueName) => ({ id, queue, attempt: null });

describe('a request for a job', () => {
  const about = {
    executorName: 'deadbeef',
    version: '5.2.0',
    numCPUs: 4,
    memory: '12288M',
    diskSpace: '20480M',
  };

  it('on the route of one queue: decodes the job and adds the queue to it', async () => {
    upstream.answer('POST /.executors/queue/codeintel/dequeue', { status: 200, body: JSON.stringify(v1) });
    const job = await queueClient('codeintel').lease(['codeintel'], offer, 0, signal);
    expect(job).toEqual({ ...v1, queue: 'codeintel' });
    expect(upstream.received).toHaveLength(1);
    expect(upstream.received[0]).toMatchObject({
      line: 'POST /.executors/queue/codeintel/dequeue',
      headers: { authorization: 'token-executor hunter2' },
    });
    expect(upstream.received[0]?.body).toEqual(about);
  });

  it('on the route of several queues: sends their names, and the job names its own', async () => {
    const files = { a: { content: 'aGVsbG8=', modifiedAt: '0001-01-01T00:00:00Z' } };
    const v2 = { version: 2, ...v1, queue: 'batches', files, dockerAuthConfig: {} };
    upstream.answer('POST /.executors/queue/dequeue', { status: 200, body: JSON.stringify(v2) });
    const job = await queueClient(null).lease(queues, offer, 0, signal);
    expect(job?.queue).toBe('batches');
    expect(job?.files.a?.content).toEqual(new TextEncoder().encode('hello'));
    expect(upstream.bodies('dequeue')).toEqual([{ ...about, queues }]);
  });

  it('reads the files of a job without a version as plain text', async () => {
    const files = { a: { content: 'hello', modifiedAt: '0001-01-01T00:00:00Z' } };
    upstream.answer('POST /.executors/queue/dequeue', {
      status: 200,
      body: JSON.stringify({ ...v1, files, queue: 'batches' }),
    });
    const job = await queueClient(null).lease(queues, offer, 0, signal);
    expect(job?.files.a?.content).toEqual(new TextEncoder().encode('hello'));
  });

  it('resolves with null for the status 204', async () => {
    upstream.answer('POST /.executors/queue/dequeue', { status: 204 });
    expect(await queueClient(null).lease(queues, offer, 0, signal)).toBeNull();
  });

  it('rejects with an error that names every other status', async () => {
    for (const status of [500, 401, 302, 418]) {
      upstream.answer('POST /.executors/queue/dequeue', { status });
      const message = expect.stringContaining(String(status)) as string;
      await expect(queueClient(null).lease(queues, offer, 0, signal)).rejects.toMatchObject({ message });
    }
  });

  it('is not sent while the resources of a job are not free', async () => {
    const free = { ...each, memoryMiB: each.memoryMiB - 1 };
    expect(await queueClient(null).lease(queues, { free, total: each }, 0, signal)).toBeNull();
    expect(upstream.received).toEqual([]);
  });
});

describe('a heartbeat', () => {
  const telemetry = {
    ...{ os: 'linux', architecture: expect.any(String) as string, executorVersion: '5.2.0' },
    ...{ dockerVersion: '', gitVersion: '', igniteVersion: '', srcCliVersion: '' },
    prometheusMetrics: expect.stringMatching(/^# HELP .*\nfumehood_executor_jobs 2\n$/s) as string,
  };

  it('on the route of one queue: sends bare ids, and reads the ids of the answer as those of that queue', async () => {
    upstream.answer('POST /.executors/queue/codeintel/heartbeat', {
      ...{ status: 200, body: '{"knownIds":["42"],"cancelIds":["43"]}' },
    });
    const jobs = [reference(42, 'codeintel'), reference(43, 'codeintel')];
    expect(await queueClient('codeintel').heartbeat(['codeintel'], jobs, signal)).toEqual({
      knownIds: ['42-codeintel'],
      cancelIds: ['43-codeintel'],
    });
    expect(upstream.bodies('heartbeat')).toEqual([
      { executorName: 'deadbeef', version: 'V2', jobIds: [42, 43], ...telemetry },
    ]);
  });

  it.each([
    ['numbers', '{"knownIds":[42],"cancelIds":[]}'],
    ['other letters', '{"knownIDs":["42"],"cancelIDs":null}'],
    ['nothing canceled', '{"knownIds":[42]}'],
  ])('accepts an answer with %s', async (_name, body) => {
    upstream.answer('POST /.executors/queue/codeintel/heartbeat', { status: 200, body });
    const answer = await queueClient('codeintel').heartbeat([], [reference(42, 'codeintel')], signal);
    expect(answer).toEqual({ knownIds: ['42-codeintel'], cancelIds: [] });
  });

  it('on the route of several queues: sends bare ids, sorted by queue, and reads ids that name their queue', async () => {
    upstream.answer('POST /.executors/queue/heartbeat', {
      ...{ status: 200, body: '{"knownIds":["7-batches","42-codeintel"],"cancelIds":["7-batches"]}' },
    });
    const jobs = [reference(42, 'codeintel'), reference(7, 'batches')];
    expect(await queueClient(null).heartbeat(queues, jobs, signal)).toEqual({
      knownIds: ['7-batches', '42-codeintel'],
      cancelIds: ['7-batches'],
    });
    expect(upstream.bodies('heartbeat')).toEqual([
      {
        ...{ executorName: 'deadbeef', version: '', queueNames: queues, ...telemetry },
        jobIdsByQueue: [
          { queueName: 'batches', jobIds: ['7'] },
          { queueName: 'codeintel', jobIds: ['42'] },
        ],
      },
    ]);
  });

  it('rejects for the status 500', async () => {
    upstream.answer('POST /.executors/queue/heartbeat', { status: 500, body: '{"error":"x"}' });
    await expect(queueClient(null).heartbeat(queues, [], signal)).rejects.toMatchObject({
      code: 'instance_unreachable',
    });
  });
});

describe('an executor that connects', () => {
  const start = (queueNames: QueueName[] | QueueName, reported: string[] = []) =>
    connect({ http: openHttp(upstream.url), executor, queues: queueNames }, systemClock, signal, (line) =>
      reported.push(line),
    );

  it('sends its name, and finds out that the instance does not speak the native protocol', async () => {
    upstream.answer('GET /.executors/test/auth', { status: 200, body: 'ok' });
    const ids = { status: 200, body: '{"knownIds":[],"cancelIds":[]}' };
    upstream.answer('POST /.executors/queue/codeintel/heartbeat', ids);
    upstream.answer('POST /.executors/queue/heartbeat', ids);
    expect(await start('codeintel')).toEqual({ native: false });
    expect(await start(queues)).toEqual({ native: false });
    const own = { executorName: 'deadbeef', fumehood: { tiers: ['vm-hardware'], machine: 'here' } };
    expect(upstream.bodies('heartbeat')).toEqual([own, { ...own, queueNames: queues }]);
  });

  it('tries again while the instance refuses it or fails, and reports each problem once', async () => {
    const [refused, down] = [{ status: 401 }, { status: 500 }];
    upstream.answer('GET /.executors/test/auth', refused, refused, down, { status: 200, body: 'ok' });
    upstream.answer('POST /.executors/queue/heartbeat', { status: 200, body: '{}' });
    const reported: string[] = [];
    await start(queues, reported);
    expect(reported).toEqual([
      expect.stringContaining(
        'failed to authorize with frontend, is executors.accessToken set correctly in the site-config?',
      ),
      expect.stringContaining('check the credential: 500'),
    ]);
  });
});

describe('the client of a job', () => {
  const facts = { key: 'setup.git.init', command: ['git', 'init'], startTime: '2023-01-02T03:04:15.000Z' };
  const own = { executorName: 'deadbeef', jobId: 42 };

  it("adds an entry under the job's token, and resolves with its number", async () => {
    upstream.answer('POST /.executors/queue/codeintel/addExecutionLogEntry', { status: 200, body: '99' });
    expect(await jobClient('codeintel').addEntry(facts)).toBe(99);
    expect(upstream.received[0]).toMatchObject({
      headers: {
        authorization: 'Bearer sometoken',
        'x-sourcegraph-job-id': '42',
        'x-sourcegraph-executor-name': 'deadbeef',
      },
      body: { ...own, ...facts },
    });
  });

  it('updates an entry with its whole text', async () => {
    upstream.answer('POST /.executors/queue/codeintel/updateExecutionLogEntry', { status: 204 });
    const state = { out: 'stdout: x\n', exitCode: 0, durationMs: 20 };
    await jobClient('codeintel').updateEntry(99, facts, state);
    expect(upstream.received[0]?.body).toEqual({ ...own, ...facts, ...state, entryId: 99 });
  });

  it('marks a job once, on the routes of its own queue, in upstream’s form', async () => {
    for (const operation of ['markComplete', 'markErrored', 'markFailed'])
      upstream.answer(`POST /.executors/queue/batches/${operation}`, { status: 204 });
    const client = jobClient('batches');
    await client.complete();
    await client.errored('it broke', 'our_reason');
    await client.failed('it failed', 'our_reason');
    expect(upstream.received.map(({ line, body }) => [line.split('/').at(-1), body])).toEqual([
      ['markComplete', own],
      ['markErrored', { ...own, errorMessage: 'it broke' }],
      ['markFailed', { ...own, errorMessage: 'it failed' }],
    ]);
  });

  it('does not repeat a mark that failed, and rejects with `lease_lost` for an unknown job', async () => {
    const line = 'POST /.executors/queue/batches/markComplete';
    upstream.answer(line, { status: 502 }, { status: 204 });
    await expect(jobClient('batches').complete()).rejects.toMatchObject({ code: 'instance_unreachable' });
    expect(upstream.received).toHaveLength(1);
    upstream.answer(line, { status: 404, body: 'null\n' });
    await expect(jobClient('batches').complete()).rejects.toMatchObject({ code: 'lease_lost' });
  });

  it('rejects with `lease_lost` for an answer "unknown job"', async () => {
    const unknown = { status: 500, body: '{"error":"unknown job"}\n' };
    upstream.answer('POST /.executors/queue/codeintel/addExecutionLogEntry', unknown);
    await expect(jobClient('codeintel').addEntry(facts)).rejects.toMatchObject({ code: 'lease_lost' });
  });

  it('sends the log as a whole text, each line with the name of its stream', async () => {
    upstream.answer('POST /.executors/queue/codeintel/addExecutionLogEntry', { status: 200, body: '1' });
    upstream.answer('POST /.executors/queue/codeintel/updateExecutionLogEntry', { status: 204 });
    const log = await openPhaseLog(jobClient('codeintel'), systemClock, 'step.docker.0', ['sh']);
    await log.write('stdout', Buffer.from('one\ntw'));
    await log.write('stderr', Buffer.from('oh\n'));
    await log.write('stdout', Buffer.from('o\nend'));
    await log.end(3);
    const updates = upstream.bodies('updateExecutionLogEntry') as { out: string; exitCode?: number }[];
    expect(updates.at(-1)).toMatchObject({
      ...{ key: 'step.docker.0', command: ['sh'], entryId: 1, exitCode: 3 },
      durationMs: expect.any(Number) as number,
      out: 'stdout: one\nstderr: oh\nstdout: two\nstdout: end\n',
    });
    expect(updates.slice(0, -1).every(({ exitCode }) => exitCode === undefined)).toBe(true);
    expect(upstream.received.some(({ line }) => line.includes('appendLog'))).toBe(false);
  });

  it('sends no value that the job wants hidden, in no command, output or message', async () => {
    for (const [operation, answer] of Object.entries({
      addExecutionLogEntry: { status: 200, body: '1' },
      updateExecutionLogEntry: { status: 204 },
      markFailed: { status: 204 },
    }))
      upstream.answer(`POST /.executors/queue/codeintel/${operation}`, answer);
    const client = jobClient('codeintel', { npm_s3cr3t: '${{ secrets.NPM_TOKEN }}' });
    const log = await openPhaseLog(client, systemClock, 'a', ['npm', 'npm_s3cr3t']);
    await log.write('stdout', Buffer.from('it is npm_s3'));
    await log.write('stdout', Buffer.from('cr3t\n'));
    await log.end(0);
    await client.failed('not npm_s3cr3t', 'x');
    expect(JSON.stringify(upstream.received)).not.toContain('s3cr3t');
    expect(upstream.bodies('updateExecutionLogEntry').at(-1)).toMatchObject({
      ...{ command: ['npm', '${{ secrets.NPM_TOKEN }}'], out: 'stdout: it is ${{ secrets.NPM_TOKEN }}\n' },
    });
  });

  it('rejects when the instance refuses the end of a log', async () => {
    upstream.answer('POST /.executors/queue/codeintel/addExecutionLogEntry', { status: 200, body: '1' });
    upstream.answer('POST /.executors/queue/codeintel/updateExecutionLogEntry', { status: 400 });
    const log = await openPhaseLog(jobClient('codeintel'), systemClock, 'a', []);
    await expect(log.end(0)).rejects.toMatchObject({ code: 'instance_refused' });
    expect(upstream.bodies('updateExecutionLogEntry')).toHaveLength(1);
  });
});
