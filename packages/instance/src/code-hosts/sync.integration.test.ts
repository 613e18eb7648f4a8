import { chmodSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { allowedRequest, localSpawn, systemClock } from '@fumehood/base';
import { setCodeHostSchema, setRepositorySchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Connection } from '../config.ts';
import { connect, type Db } from '../db/connect.ts';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { listen } from '../db/wakes.ts';
import { type Mirrors, mirrorStoreCommands, openMirrors } from '../repos/mirrors.ts';
import { setRepository } from '../repos/records.ts';
import { openVault } from '../secrets/vault.ts';
import { mirrorSource, storeMirrored } from '../testing/mirrored.ts';
import { makeSource, type Source } from '../testing/source.ts';
import giteaApi from './gitea/published-api.json' with { type: 'json' };
import { setCodeHost } from './records.ts';
import { syncChangeset, syncChangesets } from './sync.ts';
import { takeDueChangeset, wakeBranches, wakeChangesets } from './sync-records.ts';
import { Forge } from './testing/forge.ts';
import { giteaOperations } from './testing/gitea.ts';
import { type PublishedHost, startPublishedHost } from './testing/published-host.ts';

const isRoot = process.getuid?.() === 0;
const local = localSpawn(isRoot ? { uid: 1_900_000_005, gid: process.getgid?.() ?? 0 } : null);
const vault = openVault(Buffer.alloc(32, 1));
const log = pino({ level: 'silent' });

let server: TestServer;
let source: Source;
let root: string;
let mirrors: Mirrors;
let mirrored: Awaited<ReturnType<typeof mirrorSource>>;
let connection: Connection;
let db: Db;
beforeAll(async () => {
  server = openTestServer();
  root = realpathSync(mkdtempSync(join(tmpdir(), 'fumehood-changesets-')));
  chmodSync(root, 0o711);
  mirrors = await openMirrors(root, async (request) =>
    local(allowedRequest(request, mirrorStoreCommands(join(root, 'mirrors')))),
  );
  source = makeSource();
  mirrored = await mirrorSource(mirrors, source);
  connection = await server.clone();
  db = connect(connection);
});
afterAll(async () => {
  await db.destroy();
  source.remove();
  rmSync(root, { recursive: true, force: true });
  await server.stop();
});
beforeEach(async () => {
  for (const table of ['batch_changes', 'changeset_specs', 'repositories', 'code_hosts'])
    await sql`delete from ${sql.ref(table)}`.execute(db);
  await sql`insert into batch_changes (namespace, name, creator) values ('ann', 'a', 'ann')`.execute(db);
});

/** Stores a changeset as the reconciler leaves it. */
async function changeset(more: Record<string, unknown>): Promise<number> {
  const row = {
    ...{
      repository: 'r',
      head_ref: 'refs/heads/topic/one',
      publication: 'published',
      reconciler: 'completed',
    },
    ...more,
  };
  const columns = sql.join(Object.keys(row).map((name) => sql.ref(name)));
  const { rows } = await sql<{ id: number }>`
    insert into changesets (batch_change_id, ${columns}) select id, ${sql.join(Object.values(row))} from batch_changes returning id
  `.execute(db);
  return rows[0]?.id ?? 0;
}
interface Row {
  readonly state: string | null;
  readonly review: string | null;
  readonly checks: string | null;
  readonly in: number;
}
async function show(id: number): Promise<Row> {
  const { rows } = await sql<Row>`
    select external_state as state, review, checks, extract(epoch from sync_after - clock_timestamp())::float8 / 60 as in
    from changesets where id = ${id}
  `.execute(db);
  return rows[0] as Row;
}
const makeDue = () => sql`update changesets set sync_after = clock_timestamp()`.execute(db);
/** Reads the states that are due, as the loop does. Returns how many there were. */
async function round(): Promise<number> {
  let count = 0;
  for (let due = await takeDueChangeset(db); due; due = await takeDueChangeset(db)) {
    await syncChangeset({ db, vault, mirrors, clock: systemClock, log }, due);
    count += 1;
  }
  return count;
}

describe('a changeset on a code host', () => {
  const forge = new Forge();
  const control = forge.control(null as never);
  let host: PublishedHost;
  beforeAll(async () => {
    host = await startPublishedHost(giteaApi, '/api/v1', giteaOperations(forge));
  });
  afterAll(() => host.stop());
  beforeEach(async () => {
    forge.pulls = [];
    forge.check = null;
    forge.open({ head: 'topic/one', base: 'main', title: 't', body: '', draft: false });
    await setCodeHost(
      db,
      vault,
      'forge',
      setCodeHostSchema.parse({ kind: 'gitea', url: host.url, token: 't' }),
      'admin',
    );
    await setRepository(db, vault, 'r', setRepositorySchema.parse({ url: `${host.url}/o/r.git` }));
  });

  test('has the state, the reviews and the checks of its host, until it is merged', async () => {
    const id = await changeset({ external_id: '1' });
    expect(await round()).toBe(1);
    expect(await show(id)).toMatchObject({ state: 'open', review: null, checks: null });
    expect(await round()).toBe(0);
    await control.check('pending');
    await control.review('1', 'approved');
    await makeDue();
    await round();
    const pending = await show(id);
    expect(pending).toMatchObject({ state: 'open', review: 'approved', checks: 'pending' });
    expect(pending.in).toBeCloseTo(2, 0);
    await control.merge('1');
    await makeDue();
    await round();
    expect(await show(id)).toMatchObject({ state: 'merged' });
    await makeDue();
    expect(await round()).toBe(0);
  });

  test.each([
    [{ publication: 'unpublished', external_id: null }],
    [{ archived_at: new Date() }],
    [{ detached_at: new Date() }],
    [{ external_state: 'deleted' }],
    [{ reconciler: 'processing' }],
  ])('that is %j is not read', async (more) => {
    await changeset({ external_id: '1', ...more });
    expect(await round()).toBe(0);
  });

  test('keeps what the reconciler has stored while its state was read', async () => {
    const id = await changeset({ external_id: '1' });
    const due = await takeDueChangeset(db);
    if (!due) throw new Error('none is due');
    forge.pulls = forge.pulls.map((pull) => ({ ...pull, state: 'closed' }));
    await sql`update changesets set external_state = 'open', checks = 'passed' where id = ${id}`.execute(db);
    await syncChangeset({ db, vault, mirrors, clock: systemClock, log }, due);
    expect(await show(id)).toMatchObject({ state: 'open', checks: 'passed' });
    expect(await round()).toBe(1);
    expect(await show(id)).toMatchObject({ state: 'closed' });
  });

  test('lets a wave begin when its checks have ended', async () => {
    const id = await changeset({ external_id: '1' });
    await sql`update batch_changes set waves = '{"size":1,"failedShareMax":0}'`.execute(db);
    await sql`
      insert into changesets (batch_change_id, repository, head_ref, process_after)
      select id, 'other', 'refs/heads/topic/one', clock_timestamp() + interval '1 hour' from batch_changes
    `.execute(db);
    const waiting = async () =>
      (await sql`select from changesets where id <> ${id} and process_after > clock_timestamp()`.execute(db))
        .rows.length;
    await round();
    await sql`update changesets set process_after = clock_timestamp() + interval '1 hour'`.execute(db);
    await makeDue();
    await round();
    expect(await waiting()).toBe(1);
    await control.check('passed');
    await makeDue();
    await round();
    expect(await waiting()).toBe(0);
  });

  test('is read again later when its host cannot be asked, and much later when it refuses', async () => {
    const id = await changeset({ external_id: '1', external_state: 'open' });
    await setRepository(db, vault, 'r', setRepositorySchema.parse({ url: 'http://127.0.0.1:1/o/r' }));
    await setCodeHost(
      db,
      vault,
      'away',
      setCodeHostSchema.parse({ kind: 'gitea', url: 'http://127.0.0.1:1', token: 't' }),
      'admin',
    );
    await round();
    expect((await show(id)).in).toBeCloseTo(5, 0);
    await setRepository(db, vault, 'r', setRepositorySchema.parse({ url: `${host.url}/o` }));
    await makeDue();
    await round();
    expect((await show(id)).in).toBeCloseTo(60, 0);
    expect((await show(id)).state).toBe('open');
    await sql`update code_hosts set limited_until = clock_timestamp() + interval '30 minutes'`.execute(db);
    await setRepository(db, vault, 'r', setRepositorySchema.parse({ url: `${host.url}/o/r` }));
    await makeDue();
    await round();
    expect((await show(id)).in).toBeCloseTo(30, 0);
  });

  test('is read at once when a delivery is about it or its commit', async () => {
    const later = new Date(Date.now() + 3_600_000);
    const of = { external_state: 'open', sync_after: later };
    await changeset({ ...of, external_id: '1', head_ref: 'refs/heads/a', commit: 'b'.repeat(40) });
    await changeset({ ...of, external_id: '1', repository: 'other' });
    const none = { externalIds: [], commits: [] };
    expect(await wakeChangesets(db, 'r', none)).toBe(0);
    expect(await wakeChangesets(db, 'r', { ...none, externalIds: ['2'] })).toBe(0);
    expect(await round()).toBe(0);
    expect(await wakeChangesets(db, 'r', { ...none, externalIds: ['1'] })).toBe(1);
    expect(await round()).toBe(1);
    expect(await wakeChangesets(db, 'r', { ...none, commits: ['b'.repeat(40)] })).toBe(1);
    expect(await round()).toBe(1);
  });
});

test('the loop reads what is due, and what somebody asks for, until it is stopped', async () => {
  const forge = new Forge();
  forge.open({ head: 'topic/one', base: 'main', title: 't', body: '', draft: false });
  const host = await startPublishedHost(giteaApi, '/api/v1', giteaOperations(forge));
  const wakes = listen(connection, systemClock);
  const stopping = new AbortController();
  const running = syncChangesets({ db, vault, mirrors, clock: systemClock, log }, wakes, stopping.signal);
  try {
    const set = setCodeHostSchema.parse({ kind: 'gitea', url: host.url, token: 't' });
    await setCodeHost(db, vault, 'forge', set, 'admin');
    await setRepository(db, vault, 'r', setRepositorySchema.parse({ url: `${host.url}/o/r` }));
    const id = await changeset({ external_id: '1', sync_after: new Date(Date.now() + 3_600_000) });
    for (const state of ['closed', 'open', 'merged'] as const) {
      forge.pulls = forge.pulls.map((pull) => ({ ...pull, state }));
      await wakeChangesets(db, 'r', { externalIds: ['1'], commits: [] });
      await vi.waitFor(async () => expect(await show(id)).toMatchObject({ state }), 5_000);
    }
  } finally {
    stopping.abort();
    await running;
    await wakes.close();
    await host.stop();
  }
});

describe('a branch on a plain git remote', () => {
  /** Stores a branch that was pushed to the mirrored repository `r`, to be merged into `main`. */
  const branch = async (commit: string, head: string) => {
    await sql`
      insert into changeset_specs (creator, kind, repository, base_ref) values ('ann', 'branch', 'r', 'refs/heads/main')
    `.execute(db);
    const spec = await sql<{ id: number }>`select max(id) as id from changeset_specs`.execute(db);
    const pushed = { publication: 'pushed', commit, head_ref: head, spec_id: spec.rows[0]?.id };
    return await changeset({ ...pushed, sync_after: new Date(Date.now() + 3_600_000) });
  };

  test('is merged when its base has its commit, and in no state before', async () => {
    await storeMirrored(db, 'r', mirrored);
    const merged = await branch(source.first, 'refs/heads/merged');
    const open = await branch(source.secret, 'refs/heads/secret');
    const notArrived = await branch('c'.repeat(40), 'refs/heads/other');
    expect(await round()).toBe(0);
    await wakeBranches(db, 'r');
    expect(await round()).toBe(3);
    expect(await show(merged)).toMatchObject({ state: 'merged', review: null, checks: null });
    expect(await show(open)).toMatchObject({ state: null });
    expect(await show(notArrived)).toMatchObject({ state: null });
    await wakeBranches(db, 'r');
    expect(await round()).toBe(2);
  });

  test('is in no state while its repository has no mirror', async () => {
    await setRepository(db, vault, 'r', setRepositorySchema.parse({ url: null }));
    const id = await branch(source.first, 'refs/heads/merged');
    await wakeBranches(db, 'r');
    expect(await round()).toBe(1);
    expect(await show(id)).toMatchObject({ state: null });
  });
});
