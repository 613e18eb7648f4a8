import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';

/** The database's wall clock, milliseconds since 1970. */
export async function databaseTime(db: Db): Promise<number> {
  const { rows } = await sql<{ now: Date }>`select clock_timestamp() as now`.execute(db);
  return (rows[0] as { now: Date }).now.getTime();
}
