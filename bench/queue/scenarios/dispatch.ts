import { setTimeout as delay } from 'node:timers/promises';
import type { Dispatcher } from '../contenders/dispatcher.ts';
import { fumehoodDispatch } from '../contenders/fumehood-http.ts';
import { graphileWorkerDispatch } from '../contenders/graphile-worker.ts';
import { pgBossDispatch } from '../contenders/pg-boss.ts';
import { percentile, rotated, type Sample } from '../measure.ts';
import type { Bench, Outcome, Scenario } from './scenario.ts';

const waiting = [1, 16];
/** Time after which a contender's turn ends with fewer jobs. */
const turnMs = 20_000;
/** Time after which a job that no worker has counts as lost. */
const patienceMs = 10_000;

/** Measures the time from the call that stores a job until a waiting worker has it, one job at a time. */
export const dispatch: Scenario = {
  name: 'dispatch',
  title: 'Dispatch: from the call that stores a job to a waiting worker having it, ms (its commit included)',
  lessIsBetter: true,
  async run(bench) {
    const { server, sizes, progress } = bench;
    const dispatchers: Dispatcher[] = [];
    try {
      dispatchers.push(
        await fumehoodDispatch(bench, await server.database('dispatch_fumehood')),
        await pgBossDispatch(await server.database('dispatch_pg_boss_polling'), false),
        await pgBossDispatch(await server.database('dispatch_pg_boss_notify'), true),
        await graphileWorkerDispatch(await server.database('dispatch_graphile_worker')),
      );
      const samples: Sample[] = [];
      for (let round = 1; round <= sizes.rounds; round += 1) {
        for (const workers of waiting) {
          progress(`dispatch: round ${round} of ${sizes.rounds}, ${workers} waiting`);
          for (const dispatcher of rotated(dispatchers, round)) {
            const times = await timesOf(bench, dispatcher, workers);
            const sample = { scenario: 'dispatch', contender: dispatcher.name, round };
            samples.push({ ...sample, metric: `p50, ${workers} waiting`, value: percentile(times, 0.5) });
            samples.push({ ...sample, metric: `p99, ${workers} waiting`, value: percentile(times, 0.99) });
          }
        }
      }
      const notes = new Map(dispatchers.map(({ name, note }) => [name, note]));
      return { samples, notes } satisfies Outcome;
    } finally {
      for (const dispatcher of dispatchers) await dispatcher.close();
    }
  },
};

async function timesOf({ sizes }: Bench, dispatcher: Dispatcher, workers: number): Promise<number[]> {
  const leasedAt = new Map<string, number>();
  let wake = () => {};
  const stop = await dispatcher.start(workers, (id) => {
    leasedAt.set(id, performance.now());
    wake();
  });
  const times: number[] = [];
  await delay(1_000); // until the workers wait
  const end = performance.now() + turnMs;
  while (times.length < sizes.dispatches && performance.now() < end) {
    const sentAt = performance.now();
    const id = await dispatcher.send();
    // The worker may get the job before `send` returns the id.
    const late = AbortSignal.timeout(patienceMs);
    while (!leasedAt.has(id)) {
      if (late.aborted)
        throw new Error(`${dispatcher.name} dispatched a job to no worker within ${patienceMs} ms`);
      await new Promise<void>((resolve) => {
        wake = resolve;
        late.addEventListener('abort', () => resolve(), { once: true });
      });
    }
    times.push((leasedAt.get(id) as number) - sentAt);
    leasedAt.delete(id);
    // A random pause, so that sends do not align with polls, and until the worker waits again.
    await delay(30 + Math.random() * 30);
  }
  await stop();
  return times;
}
