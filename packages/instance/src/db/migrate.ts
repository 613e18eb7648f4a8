import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sql } from 'kysely';
import { type Migration, type MigrationProvider, Migrator } from 'kysely/migration';
import { databaseNewer, migrationFailed } from '../errors.ts';
import type { Db } from './connect.ts';

/** The numbered `.sql` files of a directory; forward only. */
function sqlFiles(directory: string): MigrationProvider {
  return {
    async getMigrations() {
      const names = (await readdir(directory)).filter((name) => /^\d{4}_\w+\.sql$/.test(name)).sort();
      const migrations: Record<string, Migration> = {};
      for (const name of names) {
        const text = await readFile(join(directory, name), 'utf8');
        migrations[name.slice(0, -'.sql'.length)] = {
          up: async (db) => {
            await sql.raw(text).execute(db);
          },
        };
      }
      return migrations;
    },
  };
}

/**
 * Brings the database up to date; safe when several instances start at once, and while older ones run on: a migration adds, and
 * what an older instance needs goes away with a later version. Errors: `database_newer`, `migration_failed`.
 */
export async function migrate(db: Db, directory: string): Promise<void> {
  const provider = sqlFiles(directory);
  // Numbers are not in the order of time: parts that were made side by side have their own.
  const migrator = new Migrator({ db, provider, allowUnorderedMigrations: true });
  const { error, results } = await migrator.migrateToLatest();
  if (error === undefined) return;
  const known = Object.keys(await provider.getMigrations());
  const unknown = (await migrationsIn(db)).filter((name) => !known.includes(name));
  if (unknown.length > 0) throw databaseNewer(unknown.at(-1) ?? '', known.at(-1) ?? 'none');
  const failed = results?.find((result) => result.status === 'Error')?.migrationName ?? 'the migrations';
  throw migrationFailed(failed, error instanceof Error ? error.message : 'no reason given', error);
}

/** Those that a database has had, by name; none when it does not answer. */
async function migrationsIn(db: Db): Promise<string[]> {
  try {
    const { rows } = await sql<{ name: string }>`select name from kysely_migration order by name`.execute(db);
    return rows.map(({ name }) => name);
  } catch {
    return [];
  }
}
