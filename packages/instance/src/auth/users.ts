import type { UserRecord } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';
import { nameTaken } from '../errors.ts';

const record = sql`id, name, admin, iso(created_at) as "createdAt"`;

/** Returns all users, by name. */
export async function listUsers(db: Db): Promise<UserRecord[]> {
  return (await sql<UserRecord>`select ${record} from users order by name`.execute(db)).rows;
}

/** Makes a user. Errors: `name_taken`. */
export async function createUser(
  db: Db,
  { name, admin }: { readonly name: string; readonly admin: boolean },
): Promise<UserRecord> {
  const { rows } = await sql<UserRecord>`
    insert into users (name, admin) values (${name}, ${admin}) on conflict (name) do nothing returning ${record}
  `.execute(db);
  if (!rows[0]) throw nameTaken('a user', name);
  return rows[0];
}
