import { type Job, protocolHeader, protocolVersion } from '@fumehood/protocol';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../../db/testing.ts';
import { startTestInstance, type TestInstance } from '../../testing/instance.ts';

let server: TestServer;
let instance: TestInstance;

beforeAll(async () => {
  server = await startTestServer();
  instance = await startTestInstance(await server.clone());
});
afterAll(async () => {
  await instance.stop();
  await server.stop();
});

/** Sends a request of an executor with this version header, or without one. */
function ask(path: string, header: string | null, body: object): Promise<Response> {
  return fetch(`${instance.url}/.executors/queue/${path}`, {
    method: 'POST',
    headers: {
      authorization: `token-executor ${instance.credential}`,
      ...(header !== null && { [protocolHeader]: header }),
    },
    body: JSON.stringify({
      executorName: 'e1',
      version: '1',
      queues: ['runs'],
      queueNames: ['runs'],
      ...body,
    }),
  });
}
const room = { cpus: 4, memoryMiB: 8192, scratchMiB: 65_536 };
const offer = {
  ...{ tiers: ['vm-emulated'], arch: 'x64', total: room, waitMs: 0 },
  ...{ freeCpus: 4, freeMemoryMiB: 8192, freeScratchMiB: 65_536 },
};
async function leaseAs(header: string | null): Promise<Job | null> {
  const answer = await ask('dequeue', header, { fumehood: offer });
  return answer.status === 204 ? null : ((await answer.json()) as Job);
}
async function heartbeatAs(header: string | null, leases: { jobId: number; attempt: number }[] = []) {
  const answer = await ask('heartbeat', header, {
    jobIdsByQueue: [{ queueName: 'runs', jobIds: leases.map(({ jobId }) => jobId) }],
    fumehood: { tiers: ['vm-emulated'], leases },
  });
  return answer.json();
}

describe('an executor', () => {
  test('of version 1 leases and renews, and gets nothing of version 2', async () => {
    await instance.run();
    const job = await leaseAs('1');
    expect(job).toMatchObject({ fumehood: { attempt: 1, leaseMs: 10_000 } });
    const { id } = job as Job;
    expect(await heartbeatAs('1', [{ jobId: id, attempt: 1 }])).toEqual({
      knownIds: [`${id}-runs`],
      cancelIds: [],
    });
    // Its heartbeat names attempts, so another attempt is not renewed.
    expect(await heartbeatAs('1', [{ jobId: id, attempt: 2 }])).toEqual({ knownIds: [], cancelIds: [] });
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
      for (const path of ['dequeue', 'heartbeat', 'runs/dequeue', 'runs/heartbeat']) {
        const answer = await ask(path, header, { fumehood: offer });
        expect(answer.status).toBe(426);
        expect(answer.headers.get(protocolHeader)).toBe(String(protocolVersion));
        expect(await answer.json()).toEqual({
          code: 'versions_apart',
          error: `this instance speaks version ${protocolVersion} of the native protocol, and the executor version "${header}"`,
          remedy: 'Bring the older of the two up to date: versions that are one apart work together.',
          instance: protocolVersion,
          executor: header,
        });
      }
    },
  );

  test('gets the version of the instance with every answer, even with refusals and streams', async () => {
    const answers = [
      await ask('dequeue', '1', {}),
      await ask('heartbeat', null, {}),
      await ask('heartbeat', '2', { executorName: '' }),
      await fetch(`${instance.url}/.executors/test/auth`),
      await fetch(`${instance.url}/.executors/queue/push?executorName=e1`, {
        headers: { authorization: `token-executor ${instance.credential}` },
      }),
    ];
    for (const answer of answers) {
      expect(answer.headers.get(protocolHeader), answer.url).toBe(String(protocolVersion));
      await answer.body?.cancel();
    }
  });
});
