import { Pool } from 'pg';
import type { BenchDatabase } from '../server.ts';
import { type Contender, poolSize, shareTurns, workByPolling } from './contender.ts';

/** Returns a contender without a queue: the least that two commits per job cost on this machine, with one changed row in each. */
export async function ceiling(database: BenchDatabase): Promise<Contender> {
  const pool = new Pool({ ...database, max: poolSize });
  pool.on('error', () => {});
  await pool.query('create table one (id int generated always as identity primary key, state text not null)');
  let next = 0;
  const change = (id: number, state: string) =>
    pool.query({ name: 'change', text: 'update one set state = $2 where id = $1', values: [id, state] });
  return {
    name: 'two updates (ceiling)',
    note: 'no queue: two prepared updates of a known row, each in its own transaction, by pg alone: the limit of this machine.',
    enqueue: (jobs, clients) =>
      shareTurns(jobs, clients, async (turn) => {
        while (turn()) await pool.query("insert into one (state) values ('queued')");
      }),
    async fill(jobs) {
      await pool.query("insert into one (state) select 'queued' from generate_series(1, $1::int)", [jobs]);
      await pool.query('analyze one');
    },
    work: (workers, limit) =>
      workByPolling(workers, limit, async () => {
        next += 1;
        const id = next;
        await change(id, 'processing');
        const { rowCount } = await change(id, 'completed');
        return rowCount ?? 0;
      }),
    close: () => pool.end(),
  };
}
