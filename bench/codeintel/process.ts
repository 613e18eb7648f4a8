// Stores one index, as the instance does with an upload that has arrived, in a process of its own, and prints how long that took and how much
// memory the process had at most: `process.ts CONNECTION COMMIT FILE`.
import { createReadStream } from 'node:fs';
import { resourceUsage } from 'node:process';
import { readPayload } from '../../packages/instance/src/codeintel/payload.ts';
import { storeUpload } from '../../packages/instance/src/codeintel/store.ts';
import type { Connection } from '../../packages/instance/src/config.ts';
import { connect } from '../../packages/instance/src/db/connect.ts';
import { leaseOf, testQueue } from '../../packages/instance/src/queue/testing.ts';

const [connection = '', commit = '', file = ''] = process.argv.slice(2);
const db = connect(JSON.parse(connection) as Connection);
const { add, take } = testQueue(() => db);
await add({ queue: 'codeintel', repository: 'acme/shop', commit });
const leased = await take({ queues: ['codeintel'] }, 86_400_000);
if (leased === null) throw new Error('the job was not leased');
const grant = { ...leaseOf(leased), root: null };
const place = {
  repository: 'acme/shop',
  commit,
  root: '',
  indexer: 'scip-typescript',
  indexerVersion: '0.4.0',
};
const start = performance.now();
await storeUpload(db, { grant }, place, readPayload(createReadStream(file), null));
const seconds = (performance.now() - start) / 1_000;
process.stdout.write(
  JSON.stringify({ seconds, rss: resourceUsage().maxRSS / 1_024, cpu: process.cpuUsage() }),
);
await db.destroy();
