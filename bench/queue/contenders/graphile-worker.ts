import { setTimeout as delay } from 'node:timers/promises';
import { Logger, makeWorkerUtils, type Runner, run, type Task } from 'graphile-worker';
import { Pool } from 'pg';
import type { BenchDatabase } from '../server.ts';
import { type Contender, poolSize, shareTurns } from './contender.ts';
import type { Dispatcher } from './dispatcher.ts';

const task = 'bench';
const silent = new Logger(() => () => {});

async function start(database: BenchDatabase) {
  const pool = new Pool({ ...database, max: poolSize });
  // Connections report errors while the server stops at the end.
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
  const utils = await makeWorkerUtils({ pgPool: pool, logger: silent });
  await utils.migrate();
  const close = async () => {
    await utils.release();
    await pool.end();
  };
  const runner = (concurrency: number, batch: number, one: Task): Promise<Runner> =>
    run({
      pgPool: pool,
      taskList: { [task]: one },
      concurrency,
      logger: silent,
      noHandleSignals: true,
      ...(batch > 1 && { preset: { worker: { localQueue: { size: batch }, completeJobBatchDelay: 0 } } }),
    });
  return { pool, utils, runner, close };
}

/** Returns graphile-worker as a contender: its runner, with `batch` jobs at a time. */
export async function graphileWorker(database: BenchDatabase, batch: number): Promise<Contender> {
  const { pool, utils, runner, close } = await start(database);
  await utils.addJob(task, { n: 1 }); // registers the task
  await pool.query('delete from graphile_worker._private_jobs');
  return {
    name: batch === 1 ? 'graphile-worker' : `graphile-worker, batches of ${batch}`,
    note:
      batch === 1
        ? 'run() with concurrency, its default: a worker leases its next job while the last one is still being deleted; no fence.'
        : `run() with localQueue.size ${batch} and completeJobBatchDelay 0: one commit for ${batch} leases, which ours does not offer.`,
    enqueue: (jobs, clients) =>
      shareTurns(jobs, clients, async (turn) => {
        while (turn()) await utils.addJob(task, { n: 1 });
      }),
    fill: async (jobs) => {
      await pool.query(
        `insert into graphile_worker._private_jobs (task_id, payload)
         select (select id from graphile_worker._private_tasks where identifier = '${task}'), '{"n":1}'
         from generate_series(1, ${jobs})`,
      );
      await pool.query('analyze graphile_worker._private_jobs');
    },
    async work(workers, limit) {
      let completed = 0;
      let begun = 0;
      const { promise: enough, resolve } = Promise.withResolvers<void>();
      const late = new AbortController();
      const running = await runner(workers, batch, () => {
        if (begun === 0) begun = performance.now();
        completed += 1;
        if (completed >= limit.jobs) resolve();
      });
      await Promise.race([enough, delay(limit.ms, undefined, { signal: late.signal })]);
      late.abort();
      const stopping = running.stop();
      await settled(pool, () => completed);
      const ms = performance.now() - begun;
      await stopping;
      return { completed, ms };
    },
    close,
  };
}

/** Resolves when no statement runs or waits. The runner itself does not wait for the commits of completions. */
async function settled(pool: Pool, progress: () => number): Promise<void> {
  for (let quiet = 0, last = progress(); quiet < 3; ) {
    await delay(1);
    // The listener keeps one connection.
    const idle = pool.waitingCount === 0 && pool.totalCount - pool.idleCount <= 1;
    quiet = idle && last === progress() ? quiet + 1 : 0;
    last = progress();
  }
}

/** Returns graphile-worker as a dispatcher: its runner listens for new jobs. */
export async function graphileWorkerDispatch(database: BenchDatabase): Promise<Dispatcher> {
  const { utils, runner, close } = await start(database);
  return {
    name: 'graphile-worker, LISTEN',
    note: 'run() as it is: one worker is woken by NOTIFY.',
    send: async () => (await utils.addJob(task, { n: 1 })).id,
    async start(workers, leased) {
      const running = await runner(workers, 1, (_payload, { job }) => leased(job.id));
      return () => running.stop();
    },
    close,
  };
}
