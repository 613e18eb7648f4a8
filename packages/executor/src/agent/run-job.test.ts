import { describe, expect, it } from 'vitest';
import { leaseLost, stepFailed, vmmDied } from '../errors.ts';
import { fakeClock } from '../testing/fake-clock.ts';
import { testJob } from '../testing/test-job.ts';
import type { Http } from '../uplink/http.ts';
import { keepLeases } from '../uplink/leases.ts';
import { openQueue } from '../uplink/queue.ts';
import { runJob } from './run-job.ts';

/** Runs a job whose run ends with `failure`, at an instance that accepts every request. Resolves with the requests. */
async function requestsOfRun(failure: unknown): Promise<[string, unknown][]> {
  const requests: [string, unknown][] = [];
  const http: Http = ({ path, body }) => {
    requests.push([path.split('/').at(-1) ?? '', JSON.parse(body as string)]);
    const answer = { knownIds: ['5-runs'], cancelIds: [] };
    return Promise.resolve(
      path.endsWith('/heartbeat') ? Response.json(answer) : new Response(null, { status: 204 }),
    );
  };
  const clock = fakeClock();
  const identity = {
    name: 'test',
    version: '0',
    credential: { secret: 'x', renew: async () => false },
    tiers: ['vm-emulated' as const],
    arch: 'x64' as const,
    labels: [],
    network: false,
    machine: 'here',
  };
  const queue = openQueue(http, identity);
  const deps = {
    runtime: {
      run: () => Promise.resolve({ result: null, failure, machine: null }),
      tryMachine: () => Promise.resolve(),
    },
    ...{ clock, http, executorName: 'test', log: { info: () => {}, warn: () => {} } },
    leases: keepLeases({ queue, queues: ['runs'], clock, onTrouble: () => {} }),
  };
  await runJob(deps, testJob({}, { attempt: 3 }), () => {});
  return requests;
}
const marks = async (failure: unknown) =>
  (await requestsOfRun(failure)).map(([path]) => path).filter((path) => path.startsWith('mark'));

describe('the end of a job', () => {
  it('is marked complete, failed or errored by its failure', async () => {
    expect(await marks(null)).toEqual(['markComplete']);
    expect(await marks(stepFailed('0', 1, ''))).toEqual(['markFailed']);
    expect(await marks(vmmDied('signal 9', ''))).toEqual(['markErrored']);
  });

  it('is not reported when the VM outlived its lease: the instance starts another attempt by itself', async () => {
    expect(await marks(leaseLost('the virtual machine outlived it and was killed'))).toEqual([]);
  });
});

it('a heartbeat names the held attempt', async () => {
  expect(await requestsOfRun(null)).toContainEqual([
    'heartbeat',
    expect.objectContaining({
      fumehood: { tiers: ['vm-emulated'], leases: [{ jobId: 5, attempt: 3 }], machine: 'here' },
    }),
  ]);
});
