import { copyFile, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { connect, type Db } from './connect.ts';
import { migrate } from './migrate.ts';
import { migrations, openTestServer, type TestServer } from './testing.ts';

let server: TestServer;
let directory: string;
let db: Db;

beforeAll(async () => {
  server = openTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fumehood-migrate-'));
  db = connect(await server.clone(), { connections: 2 });
  return async () => {
    await db.destroy();
    await rm(directory, { recursive: true });
  };
});

const newest = (await readdir(migrations)).sort().at(-1)?.replace('.sql', '') ?? '';

/** Makes the migrations directory of a binary: the existing ones and `more`. */
async function binary(more: Record<string, string> = {}): Promise<string> {
  for (const name of await readdir(migrations)) await copyFile(join(migrations, name), join(directory, name));
  for (const [name, text] of Object.entries(more)) await writeFile(join(directory, name), text);
  return directory;
}
const tables = async () => {
  const { rows } = await sql<{ name: string }>`
    select table_name as name from information_schema.tables where table_schema = 'public' order by 1
  `.execute(db);
  return rows.map(({ name }) => name);
};

describe('a database', () => {
  test('that is newer than the binary is refused, with both versions named, and stays unchanged', async () => {
    await migrate(db, await binary({ '9000_future.sql': 'create table future ()' }));
    const before = await tables();
    await expect(migrate(db, migrations)).rejects.toMatchObject({
      code: 'database_newer',
      message: `the database is at migration 9000_future, but this version of Fumehood knows only those up to ${newest}`,
      remedy: expect.stringContaining('or a newer one') as string,
    });
    expect(await tables()).toEqual(before);
  });

  test('that is newer than the binary gets no migration of the binary', async () => {
    await migrate(db, await binary({ '9000_future.sql': 'create table future ()' }));
    await rm(join(directory, '9000_future.sql'));
    await expect(
      migrate(db, await binary({ '8000_other.sql': 'create table other ()' })),
    ).rejects.toMatchObject({ code: 'database_newer' });
    expect(await tables()).not.toContain('other');
  });

  test('gets a new migration with a lower number than those it has', async () => {
    await migrate(db, await binary({ '0000_new.sql': 'create table new_one ()' }));
    expect(await tables()).toContain('new_one');
  });

  test('keeps nothing of a migration that fails, and the error names the migration', async () => {
    const broken = await binary({ '9000_broken.sql': 'create table half (); select 1 / 0' });
    await expect(migrate(db, broken)).rejects.toMatchObject({
      code: 'migration_failed',
      message: expect.stringMatching(/9000_broken failed: division by zero/) as string,
    });
    expect(await tables()).not.toContain('half');
  });

  test('gets each migration once when several replicas migrate it', async () => {
    const later = await binary({ '9000_later.sql': 'create table later ()' });
    const other = connect(await server.clone(), { connections: 2 });
    try {
      await Promise.all([migrate(other, later), migrate(other, later), migrate(other, later)]);
      const { rows } = await sql`select from kysely_migration where name = '9000_later'`.execute(other);
      expect(rows).toHaveLength(1);
    } finally {
      await other.destroy();
    }
  });
});
