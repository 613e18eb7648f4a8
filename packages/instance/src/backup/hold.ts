import type { Client } from 'pg';
import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';

/** The advisory lock, in the database, between backups and the removal of what is old: `fume`, `1`. */
const lock = [0x66756d65, 1] as const;

/** Keeps every replica from removing images and commits as long as the client is connected. Waits for a removal that is under way. */
export async function holdRemoval(client: Client): Promise<void> {
  await client.query('select pg_advisory_lock_shared($1, $2)', [...lock]);
}

/** Runs `remove` unless a backup is being made or another replica does the same, and returns its result, or null. */
export async function unlessHeld<T>(db: Db, remove: () => Promise<T>): Promise<T | null> {
  return await db.connection().execute(async (connection) => {
    const { rows } = await sql<{ free: boolean }>`
      select pg_try_advisory_lock(${lock[0]}::integer, ${lock[1]}::integer) as free
    `.execute(connection);
    if (!rows[0]?.free) return null;
    try {
      return await remove();
    } finally {
      await sql`select pg_advisory_unlock(${lock[0]}::integer, ${lock[1]}::integer)`.execute(connection);
    }
  });
}
