import { expect, test } from 'vitest';
import { diskFull } from '../errors.ts';
import { fakeClock } from '../testing/fake-clock.ts';
import { testJob } from '../testing/test-job.ts';
import type { Http } from '../uplink/http.ts';
import { keepLeases } from '../uplink/leases.ts';
import { openQueue, type Resources } from '../uplink/queue.ts';
import { makeAgent } from './agent.ts';
import { healthy } from './health.ts';
import { openReservations } from './reservations.ts';

const identity = {
  ...{ name: 'e1', version: '0', credential: { secret: 'x', renew: async () => false } },
  ...{ tiers: ['vm-emulated' as const], arch: 'x64' as const, labels: [], network: false, machine: 'here' },
};
const unanswered = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error));
  });

test('a request for a job that gets no answer is given up and sent again', async () => {
  const clock = fakeClock();
  const signals: AbortSignal[] = [];
  const queue = {
    version: () => 1,
    openPushStream: unanswered,
    heartbeat: () => Promise.resolve({ knownIds: [], cancelIds: [] }),
    lease(_queues: unknown, _offer: unknown, _waitMs: number, signal: AbortSignal) {
      signals.push(signal);
      return unanswered(signal);
    },
  };
  const warnings: string[] = [];
  const agent = makeAgent({
    ...{ clock, queue, queues: ['runs'], executorName: 'e1', http: () => unanswered(AbortSignal.abort()) },
    runtime: {
      run: () => Promise.resolve({ result: null, failure: null, machine: 'works' }),
      tryMachine: () => Promise.resolve(),
    },
    health: { current: healthy },
    leases: keepLeases({ queue, queues: ['runs'], clock, onTrouble: () => {} }),
    log: { info: () => {}, warn: (_facts, message) => void warnings.push(message) },
    reservations: openReservations({ cpus: 1, memoryMiB: 1024, scratchMiB: 1024 }),
    defaultResources: { cpus: 1, memoryMiB: 256, scratchMiB: 256 },
  });
  const running = agent.run();
  await clock.advance(30_000);
  expect(signals.map((signal) => signal.aborted)).toEqual([false]); // the instance may hold the request this long
  await clock.advance(15_000);
  expect(signals.map((signal) => signal.aborted)).toEqual([true, false]);
  expect(warnings).toEqual([expect.stringContaining('did not answer within 40000 ms')]);
  agent.stop();
  await clock.advance(2_000);
  await running;
});

test('an executor whose machine makes jobs fail leases nothing, says why, and leases again when a canary boots', async () => {
  const clock = fakeClock();
  const health = { current: healthy };
  const reported: (string | undefined)[] = [];
  const sizes: Resources[] = [];
  let [works, leased] = [false, 0];
  const http: Http = ({ path, body }) => {
    if (!path.endsWith('/heartbeat')) return Promise.resolve(new Response(null, { status: 204 }));
    const { fumehood, jobIdsByQueue } = JSON.parse(body as string) as HeartbeatBody;
    reported.push(fumehood.trouble);
    const knownIds = jobIdsByQueue.flatMap(({ jobIds }) => jobIds.map((id) => `${id}-runs`));
    return Promise.resolve(Response.json({ knownIds, cancelIds: [] }));
  };
  const queue = {
    ...openQueue(http, identity, () => health.current.trouble),
    openPushStream: (signal: AbortSignal) => unanswered(signal),
    async lease(_queues: unknown, _offer: unknown, _waitMs: number, signal: AbortSignal) {
      await clock.sleep(100, signal);
      leased += 1;
      return testJob({ id: leased });
    },
  };
  const outcome = () =>
    works
      ? { result: null, failure: null, machine: 'works' as const }
      : { result: null, failure: diskFull('ENOSPC'), machine: 'fault' as const };
  const agent = makeAgent({
    ...{ clock, health, http, queue, queues: ['runs'], executorName: 'e1' },
    runtime: {
      run: () => Promise.resolve(outcome()),
      async tryMachine(resources) {
        sizes.push(resources);
        if (!works) throw diskFull('ENOSPC of the canary');
      },
    },
    leases: keepLeases({ queue, queues: ['runs'], clock, onTrouble: () => {} }),
    log: { info: () => {}, warn: () => {} },
    reservations: openReservations({ cpus: 1, memoryMiB: 1024, scratchMiB: 1024 }),
    defaultResources: { cpus: 1, memoryMiB: 256, scratchMiB: 256 },
  });
  const running = agent.run();
  await clock.advance(4_000);
  expect(leased).toBe(3);
  expect(reported.at(-1)).toBe('the disk of the executor is full: ENOSPC');
  await clock.advance(5_000);
  expect([leased, sizes]).toEqual([3, [testJob({}).fumehood?.resources]]);
  await clock.advance(2_000);
  expect(reported.at(-1)).toContain('ENOSPC of the canary');
  works = true;
  await clock.advance(3_000);
  expect([leased, sizes.length]).toEqual([3, 1]); // the second pause is longer
  await clock.advance(4_000);
  expect(sizes).toHaveLength(2);
  expect(leased).toBeGreaterThan(3);
  expect(reported.at(-1)).toBeUndefined();
  agent.stop();
  await clock.advance(2_000);
  await running;
});

interface HeartbeatBody {
  readonly fumehood: { readonly trouble?: string };
  readonly jobIdsByQueue: readonly { readonly jobIds: readonly string[] }[];
}
