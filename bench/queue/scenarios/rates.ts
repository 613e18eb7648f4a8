import { ceiling } from '../contenders/ceiling.ts';
import type { Contender } from '../contenders/contender.ts';
import { fumehood } from '../contenders/fumehood.ts';
import { graphileWorker } from '../contenders/graphile-worker.ts';
import { pgBoss } from '../contenders/pg-boss.ts';
import { rotated, type Sample } from '../measure.ts';
import type { BenchDatabase } from '../server.ts';
import type { Bench, Outcome, Scenario } from './scenario.ts';

const batch = 50;
const makers: Readonly<Record<string, (database: BenchDatabase) => Promise<Contender>>> = {
  fumehood,
  'pg-boss': (database) => pgBoss(database, 1),
  'graphile-worker': (database) => graphileWorker(database, 1),
  'pg-boss-batch': (database) => pgBoss(database, batch),
  'graphile-worker-batch': (database) => graphileWorker(database, batch),
  ceiling,
};

interface RateOptions extends Pick<Scenario, 'name' | 'title'> {
  /** Runs once before the rounds; may return a function that runs after them. */
  prepare?(
    bench: Bench,
    contender: Contender,
    database: BenchDatabase,
  ): Promise<(() => Promise<void>) | undefined>;
  /** Stores the jobs of one measurement, and passes what it measures to `note`. */
  supply(
    contender: Contender,
    jobs: number,
    workers: number,
    note: (metric: string, value: number) => void,
  ): Promise<void>;
}

/** Returns a scenario that measures how many jobs are leased and completed per second. */
export function rateScenario(options: RateOptions): Scenario {
  return {
    name: options.name,
    title: options.title,
    lessIsBetter: false,
    run: (bench) => measureRates(bench, options),
  };
}

async function measureRates(bench: Bench, options: RateOptions): Promise<Outcome> {
  const { server, sizes, progress } = bench;
  const samples: Sample[] = [];
  const contenders: Contender[] = [];
  const ends: (() => Promise<void>)[] = [];
  try {
    const databases: BenchDatabase[] = [];
    for (const [name, make] of Object.entries(makers)) {
      const database = await server.database(`${options.name}_${name}`);
      const contender = await make(database);
      contenders.push(contender);
      databases.push(database);
      progress(`${options.name}: ${contender.name}`);
      const end = await options.prepare?.(bench, contender, database);
      if (end) ends.push(end);
    }
    await server.settle(databases);
    for (let round = 1; round <= sizes.rounds; round += 1) {
      for (const [workers, jobs] of sizes.jobs) {
        progress(`${options.name}: round ${round} of ${sizes.rounds}, ${workers} workers`);
        for (const contender of rotated(contenders, round)) {
          const note = (metric: string, value: number) =>
            samples.push({ scenario: options.name, metric, contender: contender.name, round, value });
          await options.supply(contender, jobs, workers, note);
          const { completed, ms } = await contender.work(workers, { jobs, ms: sizes.limitMs });
          if (completed === 0) throw new Error(`${contender.name} completed nothing in ${options.name}`);
          note(`lease + complete/s, ${workers} w.`, (completed / ms) * 1000);
        }
      }
    }
  } finally {
    for (const end of ends) await end();
    for (const contender of contenders) await contender.close();
  }
  return { samples, notes: new Map(contenders.map(({ name, note }) => [name, note])) };
}
