import { Client } from 'pg';
import { clientConfig } from '../../../packages/instance/src/db/connect.ts';
import { rateScenario } from './rates.ts';

/** Measures beside a long-running report or backup: PostgreSQL cannot remove any row version that was replaced since it began. */
export const snapshot = rateScenario({
  name: 'snapshot',
  title: 'The same while a transaction holds a snapshot from before the last 10,000 jobs and more',
  async prepare({ sizes }, contender, database) {
    const client = new Client(clientConfig(database));
    client.on('error', () => {}); // when the server stops after an interruption
    await client.connect();
    await client.query('begin isolation level repeatable read');
    await client.query('select count(*) from pg_class');
    await contender.fill(sizes.aged);
    await contender.work(16, { jobs: sizes.aged, ms: 300_000 });
    return () => client.end();
  },
  supply: (contender, jobs) => contender.fill(jobs),
});
