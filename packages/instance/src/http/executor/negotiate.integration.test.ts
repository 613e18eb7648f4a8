import { type DequeueRequest, type Job, protocolHeader, protocolVersion } from '@fumehood/protocol';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../../db/testing.ts';
import { addBatchJob } from '../../testing/batch-job.ts';
import { nativeOffer } from '../../testing/executor-client.ts';
import { startTestInstance, type TestInstance } from '../../testing/instance.ts';

let server: TestServer;
let instance: TestInstance;

beforeAll(async () => {
  server = openTestServer();
  instance = await startTestInstance(await server.clone());
});
afterAll(async () => {
  await instance.stop();
  await server.stop();
});

const executor = (protocol: string | null) => instance.executor({ protocol });
const offer: Partial<DequeueRequest> = { version: '1', queues: ['batches', 'runs'], fumehood: nativeOffer() };
async function leaseAs(protocol: string | null): Promise<Job | null> {
  const answer = await executor(protocol).dequeue(offer);
  return answer.status === 204 ? null : ((await answer.json()) as Job);
}
async function heartbeatAs(protocol: string | null, leases: { jobId: number; attempt: number }[] = []) {
  const answer = await executor(protocol).heartbeat({
    queueNames: ['runs'],
    jobIdsByQueue: [{ queueName: 'runs', jobIds: leases.map(({ jobId }) => jobId) }],
    fumehood: { tiers: ['vm-emulated'], leases },
  });
  return answer.json();
}

describe('an executor', () => {
  test('of the version before leases and renews, and gets no job of which it may ignore a part', async () => {
    const steps = await addBatchJob(instance);
    await instance.run();
    const before = String(protocolVersion - 1);
    const job = await leaseAs(before);
    expect(job).toMatchObject({ fumehood: { attempt: 1, leaseMs: 10_000 } });
    const { id } = job as Job;
    const nothing = { knownIds: [], cancelIds: [], fumehood: { draining: false } };
    expect(await heartbeatAs(before, [{ jobId: id, attempt: 1 }])).toEqual({
      ...nothing,
      knownIds: [`${id}-runs`],
    });
    // Its heartbeat names attempts, so another attempt is not renewed.
    expect(await heartbeatAs(before, [{ jobId: id, attempt: 2 }])).toEqual(nothing);
    expect(await leaseAs(before)).toBeNull();
    const record = await (await instance.api('GET', `/api/jobs/${steps.id}`)).json();
    expect(record).toMatchObject({ state: 'queued', waiting: { reason: 'version_not_offered' } });
    expect(await leaseAs(String(protocolVersion))).toMatchObject({ id: steps.id });
  });

  test.each([String(protocolVersion), String(protocolVersion + 1)])(
    'of version %s speaks the version of the instance',
    async (header) => {
      await instance.run();
      expect(await leaseAs(header)).toMatchObject({ fumehood: { attempt: 1 } });
      expect(await heartbeatAs(header)).toEqual({
        knownIds: [],
        cancelIds: [],
        fumehood: { draining: false },
      });
    },
  );

  test("that sends no version gets upstream's protocol, whatever its body holds", async () => {
    await instance.run();
    expect(await leaseAs(null)).toBeNull(); // jobs of `runs` need the extension
    expect(await heartbeatAs(null)).toEqual({ knownIds: [], cancelIds: [] });
  });

  test.each([String(protocolVersion + 2), '0', '', 'new'])(
    'of version %j is refused, with both versions and a remedy',
    async (header) => {
      await instance.run();
      const asked = executor(header);
      for (const answer of [
        await asked.dequeue(offer),
        await asked.heartbeat({ queueNames: ['runs'] }),
        await asked.dequeue(offer, { queue: 'runs' }),
        await asked.heartbeat({}, 'runs'),
      ]) {
        expect(answer.status).toBe(426);
        expect(answer.headers.get(protocolHeader)).toBe(String(protocolVersion));
        expect(await answer.json()).toEqual({
          code: 'versions_apart',
          error: `this instance speaks version ${protocolVersion} of the native protocol, and the executor version "${header}"`,
          remedy: 'Update the older of the two: versions that are one apart work together.',
          instance: protocolVersion,
          executor: header,
        });
      }
    },
  );

  test('gets the version of the instance with every answer, even with refusals and streams', async () => {
    const answers = [
      await executor('1').dequeue({ queues: ['runs'] }),
      await executor(null).heartbeat({ queueNames: ['runs'] }),
      await executor(String(protocolVersion)).heartbeat({ executorName: '' }),
      await fetch(`${instance.url}/.executors/test/auth`),
      await executor(null).push(),
    ];
    for (const answer of answers) {
      expect(answer.headers.get(protocolHeader), answer.url).toBe(String(protocolVersion));
      await answer.body?.cancel();
    }
  });
});

describe('an answer below /.executors', () => {
  const ask = (method: string, path: string, bytes = 0) =>
    executor(String(protocolVersion)).raw({
      method,
      path: `/.executors/${path}`,
      headers: { ...executor(String(protocolVersion)).headers, 'content-type': 'application/json' },
      body: 'x'.repeat(bytes),
    });

  test.each([
    ['POST', 'queue/nothing/dequeue', 404],
    ['GET', 'nothing', 404],
    ['PUT', 'queue/dequeue', 405],
    ['GET', 'queue/runs/markComplete', 405],
  ])(
    'of %s %s, which does not exist, is %i with the version and in one line',
    async (method, path, status) => {
      const answer = await ask(method, path, method === 'GET' ? 0 : 10);
      expect([answer.status, answer.headers.get(protocolHeader)]).toEqual([status, String(protocolVersion)]);
      expect(await answer.json()).toMatchObject({
        code: status === 404 ? 'not_found' : 'method_not_allowed',
      });
    },
  );

  test.each([
    ['too large', 5 * 2 ** 20, 413],
    ['no JSON', 1_000, 400],
  ])(
    'to a body that is %s comes when the client has sent it, and does not close the connection',
    async (_, bytes, status) => {
      for (const path of ['queue/dequeue', 'queue/heartbeat']) {
        const answer = await ask('POST', path, bytes);
        expect([answer.status, answer.headers.get(protocolHeader)]).toEqual([
          status,
          String(protocolVersion),
        ]);
        expect(answer.headers.get('connection')).not.toBe('close');
      }
    },
  );

  test.each([
    [
      'a name that is too long',
      { executorName: 'x'.repeat(201) },
      /^[^\n]*executorName: must be 1 to 200[^\n]*$/,
    ],
    ['several mistakes', { version: 1, queues: 2 }, /^[^\n✖]*version: [^\n]*; queues: [^\n]*$/],
  ])('to %s says so in one line', async (_, changes, text) => {
    const answer = await executor(String(protocolVersion)).dequeue(changes as object);
    expect(answer.status).toBe(400);
    expect(await answer.text()).toMatch(text);
  });
});
