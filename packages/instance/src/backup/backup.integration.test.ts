import { createHash, randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Job } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Connection } from '../config.ts';
import { connect } from '../db/connect.ts';
import { knownMigrations, migrate } from '../db/migrate.ts';
import { migrations, openTestServer, type TestServer } from '../db/testing.ts';
import { startTestInstance, type TestInstance } from '../testing/instance.ts';
import { scipDocument, scipIndex } from '../testing/scip.ts';
import { writeBackup } from './backup.ts';
import { unlessHeld } from './hold.ts';
import { checkBackup, restoreBackup } from './restore.ts';

let server: TestServer;
let directory: string;
let file: string;

beforeAll(() => {
  server = openTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fumehood-backup-'));
  file = join(directory, 'backup');
  return () => rm(directory, { recursive: true, force: true });
});

const storesBelow = (root: string) => ({
  blobs: join(root, 'blobs'),
  repositories: join(root, 'repositories'),
});

async function backUp(connection: Connection, root: string) {
  await using handle = await open(file, 'wx', 0o600);
  const source = {
    connection,
    directories: storesBelow(root),
    key: Buffer.from('the key\n'),
    version: '1.2.3',
  };
  return await writeBackup(handle, source, () => {});
}

/** Restores the backup into a database, and into a new directory, which it returns. */
async function restore(connection: Connection): Promise<string> {
  const root = await mkdtemp(join(directory, 'restored-'));
  await chmod(directory, 0o711);
  for (const path of Object.values(storesBelow(root))) await mkdir(path);
  const contents = await checkBackup(file, migrations, () => {});
  const target = {
    connection,
    directories: storesBelow(root),
    migrations,
    owner: null,
    keyFile: join(root, 'key'),
  };
  await restoreBackup(file, contents, { ...target, staging: join(root, 'restore') }, () => {});
  await expect(stat(join(root, 'restore'))).rejects.toMatchObject({ code: 'ENOENT' });
  return root;
}

/** Runs `use` with an instance of what was restored. */
async function withRestored(
  connection: Connection,
  root: string,
  use: (instance: TestInstance) => Promise<void>,
) {
  const instance = await startTestInstance(connection, { directory: root });
  try {
    await use(instance);
  } finally {
    await instance.stop();
  }
}

/** Has a job run to its end, with this output. */
async function ended(instance: TestInstance, output: Buffer): Promise<Job> {
  await instance.run();
  const job = (await instance.lease()) as Job;
  const routes = instance.executor().job(job);
  await routes.addEntry({ key: 'step.docker.0', command: ['true'], startTime: '2026-01-02T03:04:05Z' });
  await routes.append(1, 'stdout', 0, output);
  expect((await routes.complete()).status).toBe(204);
  return job;
}

/** Uploads an index with one definition, and returns its number. */
async function indexed(instance: TestInstance): Promise<string> {
  const place = { repository: 'acme/widgets', commit: 'c'.repeat(40) };
  const indexer = { name: 'scip-x', image: await instance.image(), argv: ['index'] };
  const made = await instance.api('POST', '/api/jobs', {
    ...{ queue: 'codeintel', ...place, indexer, accept: ['vm-emulated'] },
  });
  expect(made.status).toBe(201);
  const job = (await instance.lease({ queues: ['codeintel'] })) as Job;
  const index = gzipSync(scipIndex([scipDocument('src/a.ts', ['npm pkg 1 a.ts/f().'])]));
  const query = { ...place, root: '', indexerName: 'scip-x', associatedIndexId: String(job.id) };
  const headers = {
    authorization: `token-executor ${job.token}`,
    'content-type': 'application/x-protobuf+scip',
  };
  const answer = await fetch(
    `${instance.url}/.executors/scip/upload?${new URLSearchParams(query).toString()}`,
    {
      ...{ method: 'POST', headers, body: new Uint8Array(index) },
    },
  );
  expect(answer.status).toBe(202);
  return ((await answer.json()) as { id: string }).id;
}
const definition = async (instance: TestInstance, id: string) =>
  (await instance.api('GET', `/api/uploads/${id}/definition?path=src/a.ts&line=0&character=1`)).json();
const logOf = async (instance: TestInstance, id: number) =>
  Buffer.from(await (await instance.api('GET', `/api/jobs/${id}/logs`)).arrayBuffer());

test('a restored instance has everything that was acknowledged before the backup began, and what runs goes back to the queue', async () => {
  const connection = await server.clone();
  const instance = await startTestInstance(connection);
  const outputs = new Map<number, Buffer>();
  const enough = new AbortController();
  const load = async () => {
    while (!enough.signal.aborted) {
      const output = randomBytes(50_000);
      outputs.set((await ended(instance, output)).id, output);
    }
  };
  const upload = await indexed(instance);
  const image = await instance.image(randomBytes(300_000).toString('hex'));
  const commit = join(instance.directory, 'repositories', 'a'.repeat(32), `${'b'.repeat(40)}.git`);
  await mkdir(join(commit, 'refs'), { recursive: true, mode: 0o711 });
  await writeFile(join(commit, 'HEAD'), 'ref: refs/heads/main\n', { mode: 0o644 });
  const loads = [load(), load()];
  await expect.poll(() => outputs.size, { timeout: 10_000 }).toBeGreaterThan(10);
  // The loads do not lease it: their executor does not have its label.
  const running = await instance.run({ labels: ['other'], maxResets: 3 });
  await sql`
    update jobs set state = 'processing', attempt = 1, executor = 'e1', token_sha256 = ${randomBytes(32)}, lease_ms = 600000,
      started_at = clock_timestamp(), lease_expires_at = clock_timestamp() + interval '1 hour' where id = ${running.id}
  `.execute(instance.db);
  const acknowledged = new Map(outputs);
  const facts = await backUp(connection, instance.directory);
  const madeUnderLoad = outputs.size - acknowledged.size;
  enough.abort();
  await Promise.all(loads);
  expect(madeUnderLoad).toBeGreaterThan(0);
  expect(facts).toMatchObject({ version: '1.2.3', images: 2, commits: 1 });
  expect(facts.jobs).toBeGreaterThanOrEqual(acknowledged.size);
  expect((await stat(file)).size).toBe(facts.bytes);
  await instance.stop();

  const other = await server.clone();
  const root = await restore(other);
  expect(
    await readFile(join(root, 'repositories', 'a'.repeat(32), `${'b'.repeat(40)}.git/HEAD`), 'utf8'),
  ).toBe('ref: refs/heads/main\n');
  expect(
    (await stat(join(root, 'repositories', 'a'.repeat(32), `${'b'.repeat(40)}.git/refs`))).mode & 0o777,
  ).toBe(0o711);
  expect(await readFile(join(root, 'key'), 'utf8')).toBe('the key\n');
  expect((await stat(join(root, 'key'))).mode & 0o777).toBe(0o600);
  await withRestored(other, root, async (restored) => {
    for (const [id, output] of acknowledged) {
      const record = await (await restored.api('GET', `/api/jobs/${id}`)).json();
      expect(record).toMatchObject({ id, state: 'completed' });
      expect((await logOf(restored, id)).equals(output)).toBe(true);
    }
    expect(await definition(restored, upload)).toMatchObject({
      definitions: [{ path: 'src/a.ts', line: 0 }],
    });
    const blob = join(root, 'blobs/sha256', image.slice('sha256:'.length));
    const digest = createHash('sha256')
      .update(await readFile(blob))
      .digest('hex');
    expect(`sha256:${digest}`).toBe(image);
    await expect
      .poll(async () => (await restored.api('GET', `/api/jobs/${running.id}`)).json(), { timeout: 10_000 })
      .toMatchObject({ state: 'queued' });
    // No number is given twice.
    const next = await restored.run();
    expect(next.id).toBeGreaterThan(Math.max(...acknowledged.keys(), running.id));
  });
});

test('nothing is removed while a backup is made', async () => {
  const connection = await server.clone();
  const db = connect(connection);
  const root = join(directory, 'stores');
  for (const path of ['blobs/sha256', 'repositories']) await mkdir(join(root, path), { recursive: true });
  const removals: (string | null)[] = [await unlessHeld(db, async () => 'removed')];
  await using handle = await open(file, 'wx');
  const source = { connection, directories: storesBelow(root), key: null, version: '1' };
  let asked: Promise<unknown> | undefined;
  await writeBackup(handle, source, () => {
    asked ??= unlessHeld(db, async () => 'removed').then((result) => removals.push(result));
  });
  await asked;
  removals.push(await unlessHeld(db, async () => 'removed'));
  expect(removals).toEqual(['removed', null, 'removed']);
  await db.destroy();
});

test('a backup of an older version is restored, and brought up to date', async () => {
  const [old, target] = [await server.clone(), await server.clone()];
  const names = await knownMigrations(migrations);
  const db = connect(old, { connections: 1 });
  await sql`drop schema public cascade`.execute(db);
  await sql`create schema public`.execute(db);
  await migrate(db, migrations, names.slice(0, -3));
  await sql`
    insert into shares (tenant, queue) values ('admin', 'runs');
  `.execute(db);
  await sql`
    insert into lines (share_id, accept, labels, cpus, memory_mib, scratch_mib, needs_native)
    select id, '{vm-emulated}', '{}', 1, 1024, 1024, true from shares
  `.execute(db);
  await sql`
    insert into jobs (queue, payload, accept, cpus, memory_mib, scratch_mib, max_resets, max_retries, line_id)
    select 'runs', '{"argv": ["a\\ttab", "a\\nline", "\\\\N"]}', '{vm-emulated}', 1, 1024, 1024, 0, 0, id from lines
  `.execute(db);
  const payloadOf = async (where: typeof db) =>
    (await sql<{ payload: unknown }>`select payload from jobs`.execute(where)).rows;
  const before = await payloadOf(db);
  const stores = join(directory, 'stores');
  for (const path of ['blobs/sha256', 'repositories']) await mkdir(join(stores, path), { recursive: true });
  await backUp(old, stores);
  await db.destroy();
  await restore(target);
  const restored = connect(target, { connections: 1 });
  expect(await payloadOf(restored)).toEqual(before);
  const { rows } = await sql<{ name: string }>`select name from kysely_migration order by name`.execute(
    restored,
  );
  expect(rows.map(({ name }) => name)).toEqual(names);
  await restored.destroy();
});

test('a database that is in use is refused, and stays as it is', async () => {
  const connection = await server.clone();
  const instance = await startTestInstance(connection);
  await backUp(connection, instance.directory);
  await instance.run();
  await expect(restore(connection)).rejects.toMatchObject({
    code: 'restore_not_empty',
    message: expect.stringContaining('it has rows in the table jobs') as string,
  });
  await sql`truncate jobs cascade; truncate job_events, lines, shares cascade; create table of_others (id integer)`.execute(
    instance.db,
  );
  await expect(restore(connection)).rejects.toMatchObject({
    message: expect.stringContaining("the table of_others, which is not Fumehood's") as string,
  });
  await instance.stop();
});

test('an archive that was cut off or altered is refused before anything is changed', async () => {
  const connection = await server.clone();
  const instance = await startTestInstance(connection);
  await ended(instance, randomBytes(3_000));
  await backUp(connection, instance.directory);
  await instance.stop();
  const whole = await readFile(file);
  const check = async (bytes: Buffer) => {
    await writeFile(file, bytes);
    return await checkBackup(file, migrations, () => {});
  };
  await expect(check(whole)).resolves.toMatchObject({ images: 1 });
  const refused = { code: 'backup_invalid' };
  // The end of a tar is zeros, which say nothing.
  const end = whole.lastIndexOf('}') + 1;
  for (let n = 0; n < 60; n += 1) {
    const at = Math.floor((n / 60) * end);
    await expect(check(whole.subarray(0, at)), `cut at ${at}`).rejects.toMatchObject(refused);
  }
  const table = whole.indexOf('tables/');
  for (const text of ['jobs', 'step.docker', '"members"', '"format":1', 'blobs/']) {
    const at = whole.indexOf(text, text === '"format":1' ? 0 : table);
    expect(at).toBeGreaterThan(0);
    const altered = Buffer.from(whole);
    altered[at + 2] = (altered[at + 2] ?? 0) ^ 1;
    await expect(check(altered), text).rejects.toMatchObject(refused);
  }
  await expect(check(Buffer.from('not a tar'))).rejects.toMatchObject(refused);
  await expect(check(Buffer.alloc(0))).rejects.toMatchObject(refused);
  await expect(check(Buffer.concat([whole.subarray(0, -1024), whole]))).rejects.toMatchObject(refused);
});

test('an archive of a newer version is refused', async () => {
  const connection = await server.clone();
  const db = connect(connection, { connections: 1 });
  await sql`insert into kysely_migration values ('9999_future', '')`.execute(db);
  await db.destroy();
  const stores = join(directory, 'stores');
  for (const path of ['blobs/sha256', 'repositories']) await mkdir(join(stores, path), { recursive: true });
  await backUp(connection, stores);
  await expect(checkBackup(file, migrations, () => {})).rejects.toMatchObject({
    code: 'backup_newer',
    message: expect.stringContaining('9999_future') as string,
  });
});

test('an image that is not what its name says is not backed up', async () => {
  const connection = await server.clone();
  const stores = join(directory, 'stores');
  for (const path of ['blobs/sha256', 'repositories']) await mkdir(join(stores, path), { recursive: true });
  await writeFile(join(stores, 'blobs/sha256', 'a'.repeat(64)), 'another');
  await expect(backUp(connection, stores)).rejects.toMatchObject({ code: 'blob_damaged' });
});
