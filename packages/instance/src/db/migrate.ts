import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sql } from 'kysely';
import { type Migration, type MigrationProvider, Migrator } from 'kysely/migration';
import { migrationFailed } from '../errors.ts';
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

/** Brings the database up to date; safe when several instances start at once. Errors: `migration_failed`. */
export async function migrate(db: Db, directory: string): Promise<void> {
  const migrator = new Migrator({ db, provider: sqlFiles(directory) });
  const { error, results } = await migrator.migrateToLatest();
  if (error === undefined) return;
  const failed = results?.find((result) => result.status === 'Error')?.migrationName ?? 'the migrations';
  throw migrationFailed(failed, error instanceof Error ? error.message : 'no reason given', error);
}
