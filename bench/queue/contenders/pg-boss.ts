import { PgBoss, type Queue } from 'pg-boss';
import type { BenchDatabase } from '../server.ts';
import { type Contender, poolSize, shareTurns, workByPolling } from './contender.ts';
import type { Dispatcher } from './dispatcher.ts';

const queue = 'bench';

async function start(
  database: BenchDatabase,
  options: { readonly notify: boolean },
): Promise<{ boss: PgBoss; close: () => Promise<void> }> {
  // Without its maintenance, which would only cost time.
  const boss = new PgBoss({
    ...database,
    max: poolSize,
    supervise: false,
    schedule: false,
    useListenNotify: options.notify,
  });
  // It reports errors while the server stops at the end.
  boss.on('error', () => {});
  await boss.start();
  const settings: Omit<Queue, 'name'> = options.notify ? { notify: true } : {};
  await boss.createQueue(queue, settings);
  return { boss, close: () => boss.stop({ graceful: false }) };
}

/** Returns pg-boss as a contender: `fetch` and `complete`, with `batch` jobs at a time. */
export async function pgBoss(database: BenchDatabase, batch: number): Promise<Contender> {
  const { boss, close } = await start(database, { notify: false });
  return {
    name: batch === 1 ? 'pg-boss' : `pg-boss, batches of ${batch}`,
    note:
      batch === 1
        ? 'fetch() and complete() of one job, fenced by its retry count (complete takes the fetched job); no maintenance.'
        : `fetch({ batchSize: ${batch} }) and one complete() for all of them: one commit for ${batch} leases, which ours does not offer.`,
    enqueue: (jobs, clients) =>
      shareTurns(jobs, clients, async (turn) => {
        while (turn()) await boss.send(queue, { n: 1 });
      }),
    fill: async (jobs) => {
      const db = boss.getDb();
      await db.executeSql(
        `insert into pgboss.job (name, data, policy) select '${queue}', '{"n":1}', 'standard' from generate_series(1, ${jobs})`,
      );
      await db.executeSql('analyze pgboss.job_common');
    },
    work: (workers, limit) =>
      workByPolling(workers, limit, async () => {
        const jobs = await boss.fetch(queue, { batchSize: batch });
        if (jobs.length > 0) await boss.complete(queue, jobs);
        return jobs.length;
      }),
    close,
  };
}

/** Returns pg-boss as a dispatcher: `work`, which polls at its shortest interval or is woken by LISTEN. */
export async function pgBossDispatch(database: BenchDatabase, notify: boolean): Promise<Dispatcher> {
  const { boss, close } = await start(database, { notify });
  return {
    name: notify ? 'pg-boss, LISTEN' : 'pg-boss, polling',
    note: notify
      ? 'work() with useListenNotify and a queue with notify: its opt-in.'
      : 'work() as it is by default, but polling every 500 ms, the least that it allows (its default is 2 s).',
    send: async () => (await boss.send(queue, { n: 1 })) ?? '',
    async start(workers, leased) {
      await boss.work(queue, { pollingIntervalSeconds: 0.5, localConcurrency: workers }, async ([job]) => {
        if (job) leased(job.id);
      });
      return () => boss.offWork(queue, { wait: true });
    },
    close,
  };
}
