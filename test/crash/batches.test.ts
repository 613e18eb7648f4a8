import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { executeBatchSpec, retryBatchSpec } from '../../packages/instance/src/batches/execution/control.ts';
import { createBatchSpec, readBatchSpec } from '../../packages/instance/src/batches/specs.ts';
import {
  addedFiles,
  leaseAttempt,
  personOf,
  startWithMirror,
} from '../../packages/instance/src/batches/testing/scripted.ts';
import { connect, type Db } from '../../packages/instance/src/db/connect.ts';
import { openTestServer, type TestServer } from '../../packages/instance/src/db/testing.ts';
import { forgetLosses, type TestInstance } from '../../packages/instance/src/testing/instance.ts';
import { long } from '../long.ts';

/**
 * Connections to the database are cut while a batch spec is resolved, executed and made into changeset specs: at whatever point, the transaction that
 * ran on one is undone, and whoever began it goes on from what is stored.
 */
const repositories = Array.from({ length: long ? 60 : 15 }, (_, n) => `acme/${n}`);
const cutsMost = long ? 100 : 10;
const ann = personOf('ann');

let server: TestServer;
let instance: TestInstance;
let killer: Db;
beforeAll(async () => {
  server = openTestServer();
  const connection = await server.clone();
  killer = connect(connection, { connections: 1 });
  ({ instance } = await startWithMirror(connection, repositories));
});
afterAll(async () => {
  await killer.destroy();
  await instance.stop();
  await server.stop();
});

/** Repeats what fails because its connection was cut. */
async function repeated<T>(run: () => Promise<T>): Promise<T> {
  for (;;)
    try {
      return await run();
    } catch {
      await sleep(5);
    }
}

/** Runs jobs until `signal` is aborted. An attempt that was told of an error is given up, as if its executor had died. */
async function execute(name: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const attempt = await leaseAttempt(instance, name).catch(() => null);
    if (attempt !== null)
      try {
        let { next } = await attempt.begin();
        while (next !== null)
          ({ next } = await attempt.end(next.step, { diff: addedFiles(`${next.step}.txt`) }));
        const ended = await attempt.routes.complete();
        if (ended.status !== 204) throw new Error(await ended.text());
        continue;
      } catch {} // it is given up below
    // Also one whose answer to its lease was lost.
    await repeated(() =>
      sql`update jobs set lease_expires_at = clock_timestamp() - interval '1 minute' where state = 'processing' and executor = ${name}`.execute(
        killer,
      ),
    );
    await repeated(() => forgetLosses({ db: killer }));
  }
}

test('whatever is cut off, each workspace is executed, and becomes one changeset', async () => {
  const { publicId } = await createBatchSpec({ db: instance.db }, ann, {
    text: `name: hello
on: [${repositories.map((name) => `{repository: ${name}}`).join(', ')}]
steps: [{run: one, container: alpine:3}, {run: two, container: alpine:3}]
changesetTemplate: {title: t, branch: b, commit: {message: m}}
`,
    ...{ namespace: 'ann', origin: 'server', allowIgnored: false, allowUnsupported: false, noCache: false },
    ...{ options: { accept: ['vm-emulated'] }, batchChangeId: null },
  });
  const ended = new AbortController();
  let cuts = 0;
  const cutting = (async () => {
    while (!ended.signal.aborted && cuts < cutsMost) {
      const { rows } = await sql<{ cut: boolean }>`
        select pg_terminate_backend(pid) as cut from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() order by random() limit 1
      `.execute(killer);
      cuts += rows.length;
      await sleep(20 + Math.random() * 100);
    }
  })();
  const executors = ['e1', 'e2', 'e3'].map((name) => execute(name, ended.signal));
  await repeated(async () => {
    const { executedAt } = await readBatchSpec(instance.db, ann, publicId);
    if (executedAt === null) await executeBatchSpec({ db: instance.db }, ann, publicId, {});
  });
  try {
    await cutting;
    const state = async () => {
      const spec = await repeated(() => readBatchSpec(instance.db, ann, publicId));
      // An executor was lost too often.
      if (spec.state === 'failed')
        await retryBatchSpec({ db: killer }, ann, publicId, { includeCompleted: false });
      return spec.state;
    };
    // A replica that was cut off while it found workspaces, and could not say so, keeps its claim for a minute.
    await expect.poll(state, { interval: 100, timeout: 150_000 }).toBe('completed');
  } finally {
    ended.abort();
    await Promise.all([cutting, ...executors]);
  }

  const { rows } = await sql`
    select (select count(*) from jobs where state in ('queued', 'errored', 'processing')) as jobs,
      (select count(distinct id) from batch_workspaces where state = 'completed') as workspaces,
      (select count(*) from batch_workspace_steps where state in ('completed', 'cached')) as steps,
      (select count(*) from changeset_specs) as changesets, (select count(distinct repository) from changeset_specs) as repositories
  `.execute(killer);
  const count = repositories.length;
  expect(rows).toEqual([
    { jobs: 0, workspaces: count, steps: 2 * count, changesets: count, repositories: count },
  ]);
}, 240_000);
