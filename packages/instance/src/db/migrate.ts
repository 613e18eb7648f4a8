import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sql } from 'kysely';
import { type Migration, type MigrationProvider, Migrator } from 'kysely/migration';
import { databaseNewer, migrationFailed } from '../start-errors.ts';
import type { Db } from './connect.ts';

/** Returns the names of the migrations in a directory, in their order. */
export async function knownMigrations(directory: string): Promise<string[]> {
  const names = (await readdir(directory)).filter((name) => /^\d{4}_\w+\.sql$/.test(name));
  return names.map((name) => name.slice(0, -'.sql'.length)).sort();
}

/** Provides the numbered `.sql` files of a directory as migrations, forward only. `only`: no others; null: all. */
function sqlFiles(directory: string, only: readonly string[] | null): MigrationProvider {
  return {
    async getMigrations() {
      const names = await knownMigrations(directory);
      const migrations: Record<string, Migration> = {};
      for (const name of names.filter((one) => only?.includes(one) ?? true)) {
        const text = await readFile(join(directory, `${name}.sql`), 'utf8');
        migrations[name] = {
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
 * Applies the missing migrations. Several replicas may start at the same time, and older ones may keep running: a migration
 * only adds, and what an older version needs is removed by a later version. `only`: the migrations of an earlier version, for a database
 * that has had none. Errors: `database_newer`, `migration_failed`.
 */
export async function migrate(
  db: Db,
  directory: string,
  only: readonly string[] | null = null,
): Promise<void> {
  const provider = sqlFiles(directory, only);
  // The numbers are not chronological: parts that were developed side by side have their own ranges.
  const migrator = new Migrator({ db, provider, allowUnorderedMigrations: true });
  const { error, results } = await migrator.migrateToLatest();
  if (error === undefined) return;
  const known = Object.keys(await provider.getMigrations());
  const unknown = (await appliedMigrations(db)).filter((name) => !known.includes(name));
  if (unknown.length > 0) throw databaseNewer(unknown.at(-1) ?? '', known.at(-1) ?? 'none');
  const failed = results?.find((result) => result.status === 'Error')?.migrationName ?? 'the migrations';
  throw migrationFailed(failed, error instanceof Error ? error.message : 'no reason given', error);
}

/** Returns the names of the migrations that a database has had; none if it does not answer. */
async function appliedMigrations(db: Db): Promise<string[]> {
  try {
    const { rows } = await sql<{ name: string }>`select name from kysely_migration order by name`.execute(db);
    return rows.map(({ name }) => name);
  } catch {
    return [];
  }
}
