import { setDependencyIndexingSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import { pino } from 'pino';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { findDefinitions, findHover, findReferences } from '../codeintel/answers.ts';
import { storeUpload } from '../codeintel/store.ts';
import { connect, type Db } from '../db/connect.ts';
import { openTestServer } from '../db/testing.ts';
import { makeKinds } from '../kinds/kinds.ts';
import { everyStore } from '../kinds/testing.ts';
import { kindOf } from '../queue/kind.ts';
import { type Leased, mark } from '../queue/queue.ts';
import { leaseOf, testQueue } from '../queue/testing.ts';
import { emptyCommit } from '../repos/empty-commit.ts';
import type { Mirrors } from '../repos/mirrors.ts';
import { scipDescription, scipDocument, scipIndex } from '../testing/scip.ts';
import { indexDependenciesOnce } from './index-dependencies.ts';
import { listDependencies, removeDependencyIndexing, setDependencyIndexing } from './records.ts';

const server = openTestServer();
const opened: Db[] = [];
let db: Db;
beforeEach(async () => {
  db = connect(await server.clone());
  opened.push(db);
});
afterAll(async () => {
  for (const one of opened) await one.destroy();
  await server.stop();
});
const { add, take } = testQueue(() => db);
const kinds = makeKinds(everyStore);
const commit = '0'.repeat(40);
const deps = () => ({ db, mirrors: null as unknown as Mirrors });

const round = () => indexDependenciesOnce({ db, kinds, log: pino({ level: 'silent' }) });
const turnOn = (changes: object = {}) =>
  setDependencyIndexing(
    db,
    'admin',
    setDependencyIndexingSchema.parse({ accept: ['vm-emulated'], ...changes }),
  );
const leased = async () => (await take({ queues: ['codeintel'] }, 86_400_000)) as Leased;
/** Stores an index under the lease of its job. */
async function upload(job: Leased, documents: readonly Buffer[]): Promise<void> {
  const { repository, commit: of } = job.job;
  const place = { repository, commit: of, root: '', indexer: 'scip', indexerVersion: '1' };
  const bytes = scipIndex(documents);
  const chunks = (async function* chunks() {
    yield bytes;
  })();
  await storeUpload(db, { grant: { ...leaseOf(job), root: null } }, place, chunks);
  await mark(db, kinds, leaseOf(job), 'complete', null);
}
async function indexRepository(repository: string, documents: readonly Buffer[]): Promise<void> {
  await add({ queue: 'codeintel', repository, commit });
  await upload(await leased(), documents);
}
const listed = async (repository: string | null = null) =>
  (await listDependencies(db, repository)).map((one) => `${one.name}@${one.version} ${one.state}`);

const pad = 'scip-typescript npm left-pad 1.3.0 `index.d.ts`/pad().';
const yaml = 'scip-python python PyYAML 6.0.1 yaml/load().';
const own = 'scip-typescript npm app 1.0.0 src/`a.ts`/f().';
const local = 'local 1';

test('a package that indexes name is indexed once, for all repositories, and answers with its own places', async () => {
  await turnOn();
  await indexRepository('acme/one', [
    scipDocument('a.ts', [own]),
    scipDocument('b.ts', [pad, own, local, yaml], 0),
  ]);
  await indexRepository('acme/two', [scipDocument('c.ts', [pad], 0)]);
  await round();
  await round();
  expect(await listed()).toEqual(['left-pad@1.3.0 processing', 'PyYAML@6.0.1 processing']);
  expect(await listed('acme/two')).toEqual(['left-pad@1.3.0 processing']);

  const npm = await leased();
  expect(npm.job).toMatchObject({
    tenant: 'admin',
    repository: 'pkg:npm/left-pad@1.3.0',
    commit: emptyCommit,
  });
  const content = kindOf(kinds, 'codeintel').content(npm.job);
  expect(content.dockerSteps).toHaveLength(1);
  expect(content.dockerSteps?.[0]).toMatchObject({
    image: 'sourcegraph/scip-typescript',
    env: ['PACKAGE_NAME=left-pad', 'PACKAGE_VERSION=1.3.0'],
  });
  expect(JSON.stringify(content.dockerSteps?.[0]?.commands)).not.toContain('left-pad');
  await upload(npm, [
    scipDocument('other.d.ts', ['scip-typescript npm left-pad 1.3.0 x.']),
    scipDocument('index.d.ts', [pad]),
    scipDescription('index.d.ts', pad, 'Pads a text.'),
  ]);
  const python = await leased();
  expect(kindOf(kinds, 'codeintel').content(python.job).dockerSteps?.[0]).toMatchObject({
    image: 'sourcegraph/scip-python',
    env: ['PACKAGE_NAME=PyYAML', 'PACKAGE_VERSION=6.0.1'],
  });
  await upload(python, [scipDocument('yaml/__init__.py', [yaml])]);
  await round();
  expect(await leased()).toBeNull();
  expect(await listed()).toEqual(['left-pad@1.3.0 indexed', 'PyYAML@6.0.1 indexed']);

  for (const [repository, path] of [
    ['acme/one', 'b.ts'],
    ['acme/two', 'c.ts'],
  ] as const) {
    const place = { repository, revision: commit, path, line: 0, character: 1, limit: 100 };
    expect((await findDefinitions(deps(), place)).locations).toMatchObject([
      { path: 'index.d.ts', line: 0, package: { manager: 'npm', name: 'left-pad', version: '1.3.0' } },
    ]);
    expect((await findHover(deps(), place)).hover?.text).toBe('Pads a text.');
  }
  const { locations } = await findDefinitions(deps(), {
    ...{ repository: 'acme/one', revision: commit, path: 'b.ts', line: 3, character: 1 },
  });
  expect(locations).toMatchObject([
    { path: 'yaml/__init__.py', package: { manager: 'python', name: 'PyYAML' } },
  ]);
});

test('no repository and no other package answers for a package that was indexed', async () => {
  await turnOn();
  await indexRepository('acme/one', [scipDocument('b.ts', [pad], 0)]);
  await indexRepository('acme/evil', [
    scipDocument('evil.ts', [pad]),
    scipDocument('uses.ts', ['scip-typescript npm evil 1.0.0 x.'], 0),
  ]);
  const place = { repository: 'acme/one', revision: commit, path: 'b.ts', line: 0, character: 1, limit: 100 };
  const defined = async () =>
    (await findDefinitions(deps(), place)).locations.map((one) => `${one.repository} ${one.path}`);
  // Without an index of the package, any repository may be where its code is.
  expect(await defined()).toEqual(['acme/evil evil.ts']);
  await round();
  const jobs = [await leased(), await leased()];
  const of = (name: string) => jobs.find(({ job }) => job.repository.includes(name)) as Leased;
  // Whoever publishes a package decides what is in its index, and calls its files what they like.
  await upload(of('/evil@'), [scipDocument('x.d.ts', [pad, 'scip-typescript npm evil 1.0.0 x.'])]);
  expect(await defined()).toEqual(['acme/evil evil.ts']);
  await upload(of('/left-pad@'), [scipDocument('index.d.ts', [pad])]);
  expect(await defined()).toEqual(['pkg:npm/left-pad@1.3.0 index.d.ts']);
  expect((await findReferences(deps(), place)).locations.map((one) => one.repository)).toEqual(['acme/one']);
});

test('nothing is indexed before an admin turns it on, nor after it was turned off', async () => {
  await indexRepository('acme/one', [scipDocument('b.ts', [pad], 0)]);
  await round();
  expect(await listed()).toEqual([]);
  await turnOn();
  await round();
  expect(await listed()).toEqual(['left-pad@1.3.0 processing']);
  await leased();
  await removeDependencyIndexing(db);
  await indexRepository('acme/two', [scipDocument('b.ts', [yaml], 0)]);
  await round();
  expect(await listed()).toEqual(['left-pad@1.3.0 processing']);
});

test('five are indexed at a time, and no more in a day than the setting says', async () => {
  await turnOn({ jobsADay: 7 });
  const symbols = Array.from({ length: 9 }, (_, n) => `scip-typescript npm p${n} 1.0.0 x.`);
  await indexRepository('acme/one', [scipDocument('b.ts', symbols, 0)]);
  const made = async () => {
    await round();
    const jobs: Leased[] = [];
    for (let job = await leased(); job; job = await leased()) jobs.push(job);
    return jobs;
  };
  const first = await made();
  expect(first).toHaveLength(5);
  for (const job of first) await upload(job, [scipDocument('x.d.ts', [])]);
  expect(await made()).toHaveLength(2);
  expect(await made()).toHaveLength(0);
  await sql`update dependencies set tried_at = tried_at - interval '25 hours'`.execute(db);
  expect((await made()).length).toBeGreaterThan(0);
});

test('what failed is remembered with its reason, and tried again after a day or when an admin asks', async () => {
  await turnOn();
  await indexRepository('acme/one', [scipDocument('b.ts', [pad], 0)]);
  const fail = async () => {
    await round();
    const job = await leased();
    if (job) await mark(db, kinds, leaseOf(job), 'fail', { reason: 'other', message: '404 Not Found' });
    await round();
    return job !== null;
  };
  expect(await fail()).toBe(true);
  expect(await fail()).toBe(false);
  expect(await listDependencies(db, null)).toMatchObject([
    { name: 'left-pad', state: 'failed', failure: expect.stringContaining('404 Not Found') },
  ]);
  await sql`update dependencies set tried_at = tried_at - interval '25 hours'`.execute(db);
  expect(await fail()).toBe(true);
  await turnOn();
  expect(await fail()).toBe(true);
});
