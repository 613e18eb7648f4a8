import { Kysely, PostgresDialect, sql } from 'kysely';
import { type ClientConfig, type CustomTypesConfig, Pool, types as pgTypes } from 'pg';
import { z } from 'zod';

/** Where a PostgreSQL is: a socket directory with peer authentication, or a URL of the admin's. */
export const connectionSchema = z.union([
  z.strictObject({ url: z.string().min(1) }),
  z.strictObject({ host: z.string().min(1), user: z.string().min(1), database: z.string().min(1) }),
]);
export type Connection = z.infer<typeof connectionSchema>;

/** The database; statements are SQL, one a module, with their row types beside them. */
export type Db = Kysely<unknown>;

/** bigint columns are ids, offsets and counts: all far below 2^53. */
const types: CustomTypesConfig = {
  getTypeParser: (id, format) =>
    id === pgTypes.builtins.INT8 && format !== 'binary' ? Number : pgTypes.getTypeParser(id, format),
};

export function clientConfig(connection: Connection): ClientConfig {
  const where = 'url' in connection ? { connectionString: connection.url } : connection;
  return { ...where, types, application_name: 'glovebox', connectionTimeoutMillis: 10_000, keepAlive: true };
}

/** A pool of connections. It makes new ones when PostgreSQL was restarted; what was under way then fails once. */
export function connect(connection: Connection, options: { readonly connections?: number } = {}): Db {
  const pool = new Pool({ ...clientConfig(connection), max: options.connections ?? 16 });
  // An idle connection that PostgreSQL ended: the pool has dropped it already.
  pool.on('error', () => {});
  return new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
}

/** Tells who waits for it, in any process, that `topic` has changed; they hear it when this transaction commits. */
export async function wake(db: Db, topic: string): Promise<void> {
  await sql`select pg_notify('glovebox', ${topic})`.execute(db);
}
