import { parseIndexConfig } from '@fumehood/index-config';
import type { IndexConfig } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';
import { repositoryNotFound } from '../repos/errors.ts';
import { indexConfigNotFound } from './errors.ts';

const record = sql`name as repository, text, set_by as "setBy", iso(set_at) as "setAt"`;

/** Returns the configuration that the instance has for a repository; null if it has none. */
export async function findIndexConfig(db: Db, repository: string): Promise<IndexConfig | null> {
  const { rows } = await sql<IndexConfig>`
    select ${record} from index_configs join repositories on id = repository_id where name = ${repository}
  `.execute(db);
  return rows[0] ?? null;
}

/** Returns the configuration that the instance has for a repository. Errors: `index_config_not_found`. */
export async function readIndexConfig(db: Db, repository: string): Promise<IndexConfig> {
  const found = await findIndexConfig(db, repository);
  if (found === null) throw indexConfigNotFound(repository);
  return found;
}

/**
 * Stores the configuration of a repository in place of an earlier one. `setBy`: the name of the user. Errors: `index_config_invalid`, with line
 * and column, `repository_not_found`; nothing is stored then.
 */
export async function setIndexConfig(
  db: Db,
  repository: string,
  { text, setBy }: { readonly text: string; readonly setBy: string },
): Promise<IndexConfig> {
  parseIndexConfig(text, 'configuration');
  const { rows } = await sql<IndexConfig>`
    with stored as (
      insert into index_configs (repository_id, text, set_by)
      select id, ${text}, ${setBy} from repositories where name = ${repository}
      on conflict (repository_id) do update set text = excluded.text, set_by = excluded.set_by, set_at = clock_timestamp()
      returning *
    )
    select ${record} from stored join repositories on id = repository_id
  `.execute(db);
  if (!rows[0]) throw repositoryNotFound(repository);
  return rows[0];
}

/** Removes the configuration of a repository. Errors: `index_config_not_found`. */
export async function removeIndexConfig(db: Db, repository: string): Promise<void> {
  const { rows } = await sql`
    delete from index_configs using repositories where id = repository_id and name = ${repository} returning 1
  `.execute(db);
  if (rows.length === 0) throw indexConfigNotFound(repository);
}
