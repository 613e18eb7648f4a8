import { chmodSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { allowedRequest, localSpawn } from '@fumehood/base';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { connect, type Db } from '../db/connect.ts';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { mirrorStoreCommands, openMirrors, type Mirrors } from '../repos/mirrors.ts';
import { mirrorSource, storeMirrored } from '../testing/mirrored.ts';
import { makeSource, type Source } from '../testing/source.ts';
import { removeOldIndexes } from './indexes.ts';

/** Retention of the indexes of a mirrored repository, and of one whose commits clients send. */
const isRoot = process.getuid?.() === 0;
const local = localSpawn(isRoot ? { uid: 1_900_000_005, gid: process.getgid?.() ?? 0 } : null);

let server: TestServer;
let source: Source;
let root: string;
let mirrors: Mirrors;
let db: Db;
let warned: object[];
let mirrored: Awaited<ReturnType<typeof mirrorSource>>;
/** Commits of `main` after a release, the release, one commit before it, and a branch that begins there. */
const at = { before: '', release: '', one: '', two: '', three: '', side: '' };

beforeAll(async () => {
  server = openTestServer();
  root = realpathSync(mkdtempSync(join(tmpdir(), 'fumehood-kept-')));
  chmodSync(root, 0o711);
  mirrors = await openMirrors(root, async (request) =>
    local(allowedRequest(request, mirrorStoreCommands(join(root, 'mirrors')))),
  );
  source = makeSource();
  at.before = source.add('a', '0');
  at.release = source.add('a', '1');
  source.git(['tag', '-a', '-m', 'v1', 'v1']);
  at.one = source.add('a', '2');
  at.two = source.add('a', '3');
  source.git(['checkout', '-q', '-b', 'side', at.one]);
  at.side = source.add('b', '1');
  source.git(['checkout', '-q', 'main']);
  at.three = source.add('a', '4');
  mirrored = await mirrorSource(mirrors, source);
});
afterAll(async () => {
  source.remove();
  rmSync(root, { recursive: true, force: true });
  await server.stop();
});
beforeEach(async () => {
  db = connect(await server.clone());
  warned = [];
  await storeMirrored(db, 'kept', mirrored);
  return () => db.destroy();
});

/** Stores an index that was uploaded so many days ago. */
const uploaded = async (days: number, commit: string, indexer = 'ts', directory = '', repository = 'kept') =>
  sql`
    insert into uploads (repository, commit, root, indexer, indexer_version, uploaded_at)
    values (${repository}, ${commit}, ${directory}, ${indexer}, '', ${daysAgo(days)})
  `.execute(db);
const daysAgo = (days: number) => new Date(Date.now() - days * 86_400_000);
const round = (maxBytes = 2 ** 40) =>
  removeOldIndexes(
    { db, mirrors, log: { warn: (found: object) => warned.push(found) } },
    { before: daysAgo(30), maxBytes },
  );
/** The indexes that there are, by the names of their commits. */
async function left(repository = 'kept'): Promise<string[]> {
  const { rows } = await sql<{ commit: string; root: string; indexer: string }>`
    select commit, root, indexer from uploads where repository = ${repository} order by id
  `.execute(db);
  const names = new Map(Object.entries(at).map(([name, commit]) => [commit, name]));
  return rows.map(({ commit, root: of, indexer }) => `${names.get(commit) ?? commit} ${of}${indexer}`);
}
const moveTag = async (commit: string) =>
  sql`update repository_refs set commit = ${commit} where name = 'refs/tags/v1'`.execute(db);
const aDayPasses = () => sql`update uploads set needed_at = needed_at - interval '25 hours'`.execute(db);

test('an old index stays while it is the nearest one for a branch or a tag, and goes when no tip needs it any more', async () => {
  await uploaded(90, at.before);
  await uploaded(80, at.release);
  await uploaded(70, at.one);
  await uploaded(60, at.two);
  // The tip of `main` has no index by the other indexer, and none of the other directory: these are the nearest.
  await uploaded(60, at.two, 'py');
  await uploaded(90, at.before, 'ts', 'web/');
  await uploaded(10, at.three);
  // `before` and `two` are nobody's nearest. `side` begins at `one`, and the tag is at `release`.
  expect(await round()).toBe(2);
  const kept = ['release ts', 'one ts', 'two py', 'before web/ts', 'three ts'];
  expect(await left()).toEqual(kept);
  // What was found to be needed is not looked at again for a day.
  await moveTag(at.three);
  expect(await round()).toBe(0);
  await aDayPasses();
  expect(await round()).toBe(1);
  expect(await left()).toEqual(kept.slice(1));
  expect(warned).toEqual([]);
});

test('the newest index of a repository stays, though no branch has its commit and all are too large', async () => {
  await uploaded(50, 'e'.repeat(40));
  await uploaded(40, 'f'.repeat(40));
  expect(await round()).toBe(1);
  expect(await round(-1)).toBe(0);
  expect(await left()).toEqual([`${'f'.repeat(40)} ts`]);
});

test('all indexes of a repository stay while its history cannot be read', async () => {
  await uploaded(90, at.before);
  await uploaded(80, at.three);
  await sql`insert into repository_refs select id, 'refs/heads/x', ${'d'.repeat(40)}, ${'d'.repeat(40)} from repositories`.execute(
    db,
  );
  expect(await round()).toBe(0);
  await sql`update repositories set place = 'lost.git'`.execute(db);
  await aDayPasses();
  expect(await round()).toBe(0);
  expect(warned).toHaveLength(2);
});

test('of a repository without a mirror the newest index of each directory and indexer stays', async () => {
  const all = ['a', 'b', 'c'].map((digit) => digit.repeat(40));
  for (const [n, commit] of all.entries()) await uploaded(90 - n, commit, 'ts', '', 'sent');
  await uploaded(90, all[0] ?? '', 'ts', 'web/', 'sent');
  expect(await round()).toBe(2);
  expect(await left('sent')).toEqual([`${all[2]} ts`, `${all[0]} web/ts`]);
});
