import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { type Job, type JobEvent, jobEventSchema, type JobRecord, jobRecordSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../../db/testing.ts';
import { overflowPauseMs, streamBytesMax } from '../../logs/limits.ts';
import { forgetLosses, startTestInstance, type TestInstance } from '../../testing/instance.ts';

let server: TestServer;
let instance: TestInstance;

beforeAll(async () => {
  server = openTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  instance = await startTestInstance(await server.clone());
  return () => instance.stop();
});

interface Received {
  readonly id: number | null;
  readonly event: JobEvent;
}

/** Returns the events of a job until the server ends the stream or `until` returns true. */
async function follow(
  id: number,
  after?: number,
  until: (event: JobEvent) => boolean = () => false,
  query = '',
): Promise<Received[]> {
  const response = await fetch(`${instance.url}/api/jobs/${id}/events${query}`, {
    headers: {
      authorization: `token ${instance.accessToken}`,
      ...(after !== undefined && { 'last-event-id': String(after) }),
    },
  });
  expect(response.headers.get('content-type')).toBe('text/event-stream');
  const received: Received[] = [];
  let text = '';
  for await (const chunk of response.body as ReadableStream<Uint8Array>) {
    text += Buffer.from(chunk).toString();
    const blocks = text.split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks.filter((one) => !one.startsWith(':'))) {
      const event = jobEventSchema.parse(JSON.parse(/^data: (.*)$/m.exec(block)?.[1] ?? ''));
      received.push({ id: Number(/^id: (\d+)$/m.exec(block)?.[1] ?? 0) || null, event });
      if (until(event)) return received; // leaving the loop closes the connection
    }
  }
  return received;
}

const on = (job: Job) => instance.executor().job(job);
const entry = { key: 'step.docker.0', command: [], startTime: '2026-01-02T03:04:05Z' };
const append = (job: Job, offset: number, bytes: string | Buffer) =>
  on(job).append(1, 'stdout', offset, bytes);
const outputOf = (received: Received[]) =>
  received
    .map(({ event }) => (event.type === 'output' ? Buffer.from(event.data, 'base64').toString() : ''))
    .join('');

async function started(options?: object): Promise<Job> {
  await instance.run(options);
  const job = (await instance.lease()) as Job;
  await on(job).addEntry(entry);
  return job;
}

describe('the events of a job', () => {
  test('come as they happen, and the server ends the stream after the last one', async () => {
    const job = await started();
    const following = follow(job.id);
    await append(job, 0, 'one ');
    await append(job, 4, 'two');
    await on(job).complete();
    const received = await following;
    expect(outputOf(received)).toBe('one two');
    expect(received.at(-1)?.event).toMatchObject({ type: 'job', job: { state: 'completed' } });
    expect(received.map(({ id }) => id)).toEqual(received.map((_, n) => n + 1));
  });

  test('hold the job as it was at each event, even after its end', async () => {
    const records: JobRecord[] = [];
    const { id } = await instance.run({ maxRetries: 1, retryPauseMs: 0 });
    const look = async () =>
      records.push(jobRecordSchema.parse(await (await instance.api('GET', `/api/jobs/${id}`)).json()));
    const found = (exitCode: number) => ({
      tier: 'vm-emulated' as const,
      vmm: 'qemu' as const,
      exitCode,
      guest: null,
      inspection: null,
      leftOver: { processes: exitCode },
    });
    await look();
    for (const [mark, reason] of [
      ['errored', 'storage_full'],
      ['failed', 'step_failed'],
    ] as const) {
      const job = (await instance.lease()) as Job;
      await look();
      for (const exitCode of [1, 2]) {
        expect((await on(job).result(found(exitCode))).status).toBe(204);
        await look();
      }
      await on(job)[mark]('no', reason);
      await look();
    }
    expect(records.map(({ state, exitCode }) => [state, exitCode])).toEqual([
      ['queued', null],
      ...[null, 1, 2].map((exitCode) => ['processing', exitCode]),
      ['errored', 2],
      ...[null, 1, 2].map((exitCode) => ['processing', exitCode]),
      ['failed', 2],
    ]);
    const streamed = (await follow(id)).map(({ event }) => (event.type === 'job' ? event.job : null));
    // The reason to wait is of the time of the request.
    const plain = (record: JobRecord | null) => ({ ...record, waiting: null });
    expect(streamed.map(plain)).toEqual(records.map(plain));
  });

  test('that an older instance stored with the whole record come unchanged', async () => {
    const { id } = await instance.run();
    const { network: _, ...record } = jobRecordSchema.parse(
      await (await instance.api('GET', `/api/jobs/${id}`)).json(),
    );
    const job = { ...record, tenant: 'of-before' };
    const old = { type: 'job', job };
    await sql`update job_events set state = null, body = ${JSON.stringify(old)}::jsonb where job_id = ${id}`.execute(
      instance.db,
    );
    expect((await follow(id, 0, () => true))[0]?.event).toEqual(old);
  });

  test('have with `tail` only the output that was among the last bytes of its stream', async () => {
    const job = await started();
    for (let at = 0; at < 40; at += 4) await append(job, at, `${String(at).padStart(3, '0')};`);
    for (const [at, text] of ['one;', 'two;'].entries()) await on(job).append(1, 'stderr', 4 * at, text);
    await on(job).append(1, 'stdout', 28, 'again;');
    await on(job).failed('no', 'step_failed');
    const withTail = async (tail: number) => await follow(job.id, undefined, undefined, `?tail=${tail}`);
    const whole = await follow(job.id);
    expect(outputOf(await withTail(0))).toBe('');
    expect(outputOf(await withTail(1))).toBe('036;two;');
    expect(outputOf(await withTail(5))).toBe('032;036;one;two;');
    expect(await withTail(40)).toEqual(whole);
    const others = ({ event }: Received) => event.type !== 'output';
    expect(await withTail(0)).toEqual(whole.filter(others));
  });

  test('resume after the last event that was read, and each comes once', async () => {
    const job = await started();
    for (let n = 0; n < 30; n += 1) await append(job, n * 3, `${String(n).padStart(2, '0')};`);
    await on(job).complete();
    const all = await follow(job.id);
    for (const after of [0, 1, 15, 16, 17, all.length - 1, all.length])
      expect(await follow(job.id, after)).toEqual(all.slice(after));
  });

  test('come with `follow=false` only so far', async () => {
    const job = await started();
    await append(job, 0, 'one ');
    const path = `/api/jobs/${job.id}/events`;
    const text = await (await instance.api('GET', `${path}?follow=false`)).text();
    expect(text.match(/"type":"(\w+)"/g)?.at(-1)).toBe('"type":"output"');
    expect((await instance.api('GET', `${path}?follow=perhaps`)).status).toBe(400);
    await on(job).complete();
  });

  test('tell when the reason to wait changes, without moving a resume', async () => {
    const job = await instance.run({ accept: ['vm-hardware'] });
    const none = await follow(
      job.id,
      undefined,
      (event) => event.type === 'job' && event.job.waiting !== null,
    );
    expect(none.at(-1)).toMatchObject({ id: null, event: { job: { waiting: { reason: 'no_executor' } } } });
    await instance.lease();
    const tier = await follow(
      job.id,
      undefined,
      (event) => event.type === 'job' && event.job.waiting !== null,
    );
    expect(tier.at(-1)?.event).toMatchObject({ job: { waiting: { reason: 'tier_not_offered' } } });
    expect(JSON.stringify(tier.at(-1)?.event)).toContain('--accept vm-emulated');
  });

  test('name their attempt', async () => {
    const first = await started();
    await append(first, 0, 'first');
    await sql`update jobs set lease_expires_at = clock_timestamp() - interval '1 minute'`.execute(
      instance.db,
    );
    const leased: Job[] = [];
    const again = async () => {
      await forgetLosses(instance);
      const job = await instance.lease();
      if (job) leased.push(job);
      return leased.length;
    };
    await expect.poll(again, { timeout: 5_000 }).toBe(1);
    const second = leased[0] as Job;
    await on(second).addEntry(entry);
    await append(second, 0, 'second');
    await on(second).complete();
    const outputs = (await follow(first.id))
      .map(({ event }) => event)
      .filter((event) => event.type === 'output');
    expect(outputs.map(({ attempt, offset }) => [attempt, offset])).toEqual([
      [1, 0],
      [2, 0],
    ]);
  });

  test('of an unknown job are 404, and without a token 401', async () => {
    expect((await instance.api('GET', '/api/jobs/4711/events')).status).toBe(404);
    expect((await fetch(`${instance.url}/api/jobs/1/events`)).status).toBe(401);
  });

  test('do not delay the end of the instance', async () => {
    const job = await started();
    const heard = Promise.withResolvers<void>();
    const following = follow(job.id, undefined, (event) => {
      if (event.type === 'output') heard.resolve();
      return false;
    });
    await append(job, 0, 'x');
    await heard.promise;
    const begun = performance.now();
    await instance.stop();
    expect(outputOf(await following)).toBe('x');
    expect(performance.now() - begun).toBeLessThan(3_000);
    instance = await startTestInstance(await server.clone()); // for the hook
  });

  test('do not delay it when their reader does not read', async () => {
    const job = await started();
    // More than the kernel buffers on both sides.
    for (let part = 0; part < 4; part++) await append(job, part * 4 * 2 ** 20, Buffer.alloc(4 * 2 ** 20));
    const reader = request(`${instance.url}/api/jobs/${job.id}/events`, {
      headers: { authorization: `token ${instance.accessToken}` },
    });
    reader.end();
    const [response] = (await once(reader, 'response')) as [IncomingMessage];
    response.on('error', () => {}); // the instance closes the connection
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const begun = performance.now();
    await instance.stop();
    expect(performance.now() - begun).toBeLessThan(4_000);
    reader.destroy();
    instance = await startTestInstance(await server.clone()); // for the hook
  });
});

describe('output', () => {
  test('sent twice is stored once, and an overlapping part adds its new bytes', async () => {
    const job = await started();
    expect(await (await append(job, 0, 'abc')).json()).toEqual({ offset: 3 });
    expect(await (await append(job, 0, 'abc')).json()).toEqual({ offset: 3 });
    expect(await (await append(job, 1, 'bcde')).json()).toEqual({ offset: 5 });
    await on(job).complete();
    expect(outputOf(await follow(job.id))).toBe('abcde');
  });

  test('after a gap is refused with the expected offset', async () => {
    const job = await started();
    await append(job, 0, 'abc');
    const answer = await append(job, 4, 'e');
    expect(answer.status).toBe(409);
    expect(await answer.json()).toMatchObject({ offset: 3 });
  });

  test('over the limit is counted and dropped, and its entry says how much', async () => {
    const job = await started();
    await append(job, 0, 'head');
    await sql`update log_entries set stdout_bytes = ${streamBytesMax - 2}`.execute(instance.db);
    expect(await (await append(job, streamBytesMax - 2, 'abcdef')).json()).toEqual({
      offset: streamBytesMax + 4,
    });
    const begun = performance.now();
    await append(job, streamBytesMax + 4, 'more');
    // A program that prints without end costs a commit for each append, so they are slowed down.
    expect(performance.now() - begun).toBeGreaterThan(overflowPauseMs - 5);
    await on(job).updateEntry({ ...entry, entryId: 1, exitCode: 0, durationMs: 1 });
    await on(job).complete();
    const received = await follow(job.id);
    expect(outputOf(received)).toBe('headab');
    const dropped = received.flatMap(({ event }) =>
      event.type === 'entry' && event.entry.droppedBytes ? [event.entry.droppedBytes.stdout] : [],
    );
    expect(dropped).toEqual([4, 8]);
  });
});

describe("a job's input", () => {
  const put = (job: { id: number }, offset: number, bytes: string, end = false) =>
    instance.api('POST', `/api/jobs/${job.id}/input?offset=${offset}&end=${end}`, Buffer.from(bytes));
  const read = async (job: Job, offset: number, waitMs = 0) => {
    const answer = await on(job).input(offset, { waitMs });
    return [await answer.text(), answer.headers.get('x-fumehood-input-end')];
  };

  test('is read from any offset, and its last bytes come with its end', async () => {
    const job = await started({ stdin: true });
    expect(await read(job, 0)).toEqual(['', null]);
    expect(await (await put(job, 0, 'hello ')).json()).toEqual({ offset: 6 });
    expect(await (await put(job, 0, 'hello ')).json()).toEqual({ offset: 6 });
    expect(await (await put(job, 6, 'world', true)).json()).toEqual({ offset: 11 });
    expect(await (await put(job, 6, 'world', true)).json()).toEqual({ offset: 11 });
    expect(await read(job, 0)).toEqual(['hello ', null]);
    expect(await read(job, 2)).toEqual(['llo ', null]);
    expect(await read(job, 6)).toEqual(['world', 'true']);
    expect(await read(job, 11)).toEqual(['', 'true']);
  });

  test('is waited for by a request', async () => {
    const job = await started({ stdin: true });
    const reading = read(job, 0, 10_000);
    await new Promise((resolve) => setTimeout(resolve, 200));
    await put(job, 0, '', true);
    expect(await reading).toEqual(['', 'true']);
  });

  test('is refused with a gap, after its end, and for a job without stdin', async () => {
    const job = await started({ stdin: true });
    expect((await put(job, 3, 'x')).status).toBe(409);
    await put(job, 0, '', true);
    expect(await (await put(job, 0, 'x')).json()).toMatchObject({ error: { code: 'input_ended' } });
    const other = await started();
    expect(await read(other, 0)).toEqual(['', 'true']);
    expect(await (await put(other, 0, 'x')).json()).toMatchObject({ error: { code: 'no_input' } });
  });
});

describe('the API of people', () => {
  test('refuses an unknown host, and accepts a configured one', async () => {
    const { request } = await import('node:http');
    const statusFor = (host: string) =>
      new Promise((resolve) => {
        request(`${instance.url}/api/status`, { headers: { host } }, (answer) => {
          answer.resume();
          resolve(answer.statusCode);
        }).end();
      });
    expect(await statusFor('evil.example:80')).toBe(421);
    expect(await statusFor('fumehood.test:1234')).toBe(401);
    expect(await statusFor('localhost')).toBe(401);
  });

  test('refuses a job whose image it does not have, with a remedy', async () => {
    const image = `sha256:${'0'.repeat(64)}`;
    const answer = await instance.api('POST', '/api/jobs', { queue: 'runs', image, argv: [] });
    expect(answer.status).toBe(404);
    expect(await answer.json()).toMatchObject({
      error: { code: 'blob_not_found', remedy: expect.stringContaining('PUT /api/blobs/') },
    });
  });

  test('refuses bytes of another digest, and stores nothing of them', async () => {
    const digest = `sha256:${'0'.repeat(64)}`;
    expect((await instance.api('PUT', `/api/blobs/${digest}`, Buffer.from('x'))).status).toBe(400);
    expect((await instance.api('HEAD', `/api/blobs/${digest}`)).status).toBe(404);
  });

  test('lists the executors that could run a job now', async () => {
    await instance.lease({ executor: 'e7' });
    expect(await (await instance.api('GET', '/api/status')).json()).toMatchObject({
      version: '0.0.0-test',
      tiers: ['vm-emulated'],
      executors: [{ name: 'e7', tiers: ['vm-emulated'] }],
      jobs: { queued: 0, processing: 0 },
    });
  });
});
