import { expect, test } from 'vitest';
import { fakeClock } from '../testing/fake-clock.ts';
import { keepLeases } from '../uplink/leases.ts';
import { makeAgent } from './agent.ts';
import { openReservations } from './reservations.ts';

test('a request for a job that gets no answer is given up and sent again', async () => {
  const clock = fakeClock();
  const signals: AbortSignal[] = [];
  const unanswered = (signal: AbortSignal) =>
    new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error));
    });
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
    runtime: { run: () => Promise.resolve({ result: null, failure: null }) },
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
