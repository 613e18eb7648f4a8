import { chmodSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { allowedRequest, localSpawn, systemClock } from '@fumehood/base';
import { createIndexingSchema, setIndexPolicySchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { connect, type Db } from '../db/connect.ts';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { makeKinds } from '../kinds/kinds.ts';
import { everyStore } from '../kinds/testing.ts';
import { mirrorStoreCommands, openMirrors, type Mirrors } from '../repos/mirrors.ts';
import { mirrorSource, storeMirrored } from '../testing/mirrored.ts';
import { makeSource, type Source } from '../testing/source.ts';
import { indexByPolicies } from './by-policies.ts';
import { setIndexConfig } from './configs.ts';
import { indexCommit } from './index-commit.ts';
import { setIndexPolicy } from './records.ts';

/** How much of a repository is indexed at once, and by how many jobs. */
const isRoot = process.getuid?.() === 0;
const local = localSpawn(isRoot ? { uid: 1_900_000_005, gid: process.getgid?.() ?? 0 } : null);
const kinds = makeKinds(everyStore);

let server: TestServer;
let source: Source;
let root: string;
let mirrors: Mirrors;
let mirrored: Awaited<ReturnType<typeof mirrorSource>>;
let db: Db;
beforeAll(async () => {
  server = openTestServer();
  root = realpathSync(mkdtempSync(join(tmpdir(), 'fumehood-policies-')));
  chmodSync(root, 0o711);
  mirrors = await openMirrors(root, async (request) =>
    local(allowedRequest(request, mirrorStoreCommands(join(root, 'mirrors')))),
  );
  source = makeSource();
  source.add('go.mod', 'module greeter\n');
  source.add('web/tsconfig.json', '{}');
  mirrored = await mirrorSource(mirrors, source);
});
afterAll(async () => {
  source.remove();
  rmSync(root, { recursive: true, force: true });
  await server.stop();
});
beforeEach(async () => {
  db = connect(await server.clone());
  await storeMirrored(db, 'acme/one', mirrored);
  return () => db.destroy();
});

const log = { info: () => {}, warn: (found: object) => Promise.reject(found) };
const synced = () => indexByPolicies({ db, kinds, mirrors, clock: systemClock, log }, 'acme/one');
const policy = (settings: object) =>
  setIndexPolicy(db, 'all', 'admin', setIndexPolicySchema.parse({ pattern: '*', ...settings }));
const decided = async () => (await sql`select from indexings`.execute(db)).rows.length;

test('a policy with a pause has one commit of a repository indexed, and the next one after the pause', async () => {
  await policy({ pauseSeconds: 3_600 });
  for (const expected of [1, 1]) {
    await synced();
    expect(await decided()).toBe(expected);
  }
  await sql`update indexings set planned_at = planned_at - interval '2 hours'`.execute(db);
  await synced();
  expect(await decided()).toBe(2);
});

test('while many index jobs of a repository wait, policies have no more of its commits indexed', async () => {
  await policy({});
  const request = createIndexingSchema.parse({ repository: 'acme/one' });
  await indexCommit({ db, kinds, mirrors }, { tenant: 'admin', policy: null }, request);
  const { rows } = await sql<{ names: string }>`
    select string_agg(quote_ident(attname), ', ') as names from pg_attribute
    where attrelid = 'jobs'::regclass and attnum > 0 and not attisdropped and attidentity = ''
  `.execute(db);
  const columns = sql.raw(rows[0]?.names ?? '');
  await sql`insert into jobs (${columns}) select ${columns} from jobs, generate_series(1, 99)`.execute(db);
  await synced();
  expect(await decided()).toBe(1);
  await sql`update jobs set state = 'completed' where id = 1`.execute(db);
  await synced();
  expect(await decided()).toBe(2);
});

test('a commit has one job for each directory and indexer, whoever asks for it at the same time', async () => {
  const request = createIndexingSchema.parse({ repository: 'acme/one' });
  const asked = ['ann', 'bob', 'ann', 'bob', 'eve'].map((tenant) =>
    indexCommit({ db, kinds, mirrors }, { tenant, policy: null }, request),
  );
  const ids = (await Promise.all(asked)).map(({ jobs }) => jobs.map(({ jobId }) => jobId));
  expect(new Set(ids.map(String)).size).toBe(1);
  expect((await sql`select from jobs`.execute(db)).rows).toHaveLength(2);
});

test('what makes no job is recorded with the reason', async () => {
  const text = 'index_jobs: [{indexer: "UPPER/case", indexer_args: [i]}]';
  await setIndexConfig(db, 'acme/one', { text, setBy: 'admin' });
  const request = createIndexingSchema.parse({ repository: 'acme/one' });
  await expect(
    indexCommit({ db, kinds, mirrors }, { tenant: 'ann', policy: null }, request),
  ).rejects.toMatchObject({ code: 'index_config_invalid', status: 400 });
  const { rows } = await sql`select failure from indexings`.execute(db);
  expect(rows).toEqual([
    { failure: expect.stringContaining('indexer.image: must be a reference to an image') },
  ]);
});
