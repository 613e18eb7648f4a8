import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client } from 'pg';
import { knownMigrations } from '../db/migrate.ts';
import { targetNotEmpty } from './errors.ts';
import { readMigrations, readTables } from './tables.ts';

/** Tables that the first start of an instance, and of its executor, fill. */
const ofFirstStart = ['users', 'access_tokens', 'executor_credentials', 'executor_secrets', 'executors'];

/**
 * Checks that a database has nothing but what the first start of an instance makes. `migrations`: the directory of the `.sql` files.
 * Errors: `restore_not_empty`.
 */
export async function checkEmpty(client: Client, migrations: string): Promise<void> {
  const tables = await readTables(client);
  const ours = await tablesOfMigrations(migrations);
  const foreign = tables.find(({ name }) => !ours.has(name));
  if (foreign) throw targetNotEmpty(`the table ${foreign.name}, which is not Fumehood's`);
  // Jobs say more to people than what belongs to them.
  for (const { name } of tables.toSorted(
    (one, other) => Number(other.name === 'jobs') - Number(one.name === 'jobs'),
  )) {
    const allowed = name === 'users' ? 1 : 0;
    if (ofFirstStart.includes(name) && name !== 'users') continue;
    const { rows } = await client.query<{ count: number }>(
      `select count(*) as count from (select from "${name}" limit 1000) as sample`,
    );
    const count = rows[0]?.count ?? 0;
    if (count > allowed)
      throw targetNotEmpty(`rows in the table ${name} (${count >= 1000 ? '1000 or more' : count})`);
  }
}

/** Returns the names of the tables that the migrations make, of any time. */
async function tablesOfMigrations(directory: string): Promise<Set<string>> {
  const names = await knownMigrations(directory);
  const texts = await Promise.all(names.map((name) => readFile(join(directory, `${name}.sql`), 'utf8')));
  return new Set(
    texts.flatMap((text) => [...text.matchAll(/^create table (\w+)/gm)].map(([, name]) => name as string)),
  );
}

/** Removes the schema that the migrations have made in a database that `checkEmpty` has accepted. */
export async function emptySchema(client: Client): Promise<void> {
  if ((await readMigrations(client)).length === 0) return;
  const { rows } = await client.query<{ name: string }>('select quote_ident(current_schema()) as name');
  const name = rows[0]?.name ?? '';
  await client.query(`begin; drop schema ${name} cascade; create schema ${name}; commit`);
}
