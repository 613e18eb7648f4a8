import type { IndexSettings, setIndexSettingsSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import type * as z from 'zod';
import type { Db } from '../db/connect.ts';
import { repositoryNotFound } from '../repos/errors.ts';
import { requireBroker } from '../secrets/broker.ts';
import { indexSettingsNotFound } from './errors.ts';

const record = sql`name as repository, settings, set_by as "setBy", iso(set_at) as "setAt"`;

/** Returns what an admin has set for the index jobs of a repository; null: nothing. */
export async function findIndexSettings(db: Db, repository: string): Promise<IndexSettings | null> {
  const { rows } = await sql<IndexSettings>`
    select ${record} from index_settings join repositories on id = repository_id where name = ${repository}
  `.execute(db);
  return rows[0] ?? null;
}

/** Returns what an admin has set for the index jobs of a repository. Errors: `index_settings_not_found`. */
export async function readIndexSettings(db: Db, repository: string): Promise<IndexSettings> {
  const found = await findIndexSettings(db, repository);
  if (found === null) throw indexSettingsNotFound(repository);
  return found;
}

/** Sets what the index jobs of a repository get, in place of earlier settings. Errors: `repository_not_found`, `broker_not_found`. */
export async function setIndexSettings(
  db: Db,
  repository: string,
  settings: z.output<typeof setIndexSettingsSchema>,
  setBy: string,
): Promise<IndexSettings> {
  await requireBroker(db, { queue: 'codeintel', repository }, settings.broker ?? []);
  const { rows } = await sql<IndexSettings>`
    with stored as (
      insert into index_settings (repository_id, settings, set_by)
      select id, ${JSON.stringify(settings)}::jsonb, ${setBy} from repositories where name = ${repository}
      on conflict (repository_id) do update set settings = excluded.settings, set_by = excluded.set_by, set_at = clock_timestamp()
      returning *
    )
    select ${record} from stored join repositories on id = repository_id
  `.execute(db);
  if (!rows[0]) throw repositoryNotFound(repository);
  return rows[0];
}

/** Removes what was set for the index jobs of a repository. Errors: `index_settings_not_found`. */
export async function removeIndexSettings(db: Db, repository: string): Promise<void> {
  const { rows } = await sql`
    delete from index_settings using repositories where id = repository_id and name = ${repository} returning 1
  `.execute(db);
  if (rows.length === 0) throw indexSettingsNotFound(repository);
}
