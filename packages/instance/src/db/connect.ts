import { createHash } from 'node:crypto';
import { Kysely, PostgresDialect } from 'kysely';
import { Client, type ClientConfig, type CustomTypesConfig, Pool, types as pgTypes } from 'pg';
import { z } from 'zod';

/** Where a PostgreSQL is: a socket directory with peer authentication, or a URL of the admin's. */
export const connectionSchema = z.union([
  z.strictObject({ url: z.string().min(1) }),
  z.strictObject({ host: z.string().min(1), user: z.string().min(1), database: z.string().min(1) }),
]);
export type Connection = z.infer<typeof connectionSchema>;

/** The database; statements are SQL, below `sql/` folders, with their row types beside them. */
export type Db = Kysely<unknown>;

/** bigint columns are ids, offsets and counts: all far below 2^53. */
const types: CustomTypesConfig = {
  getTypeParser: (id, format) =>
    id === pgTypes.builtins.INT8 && format !== 'binary' ? Number : pgTypes.getTypeParser(id, format),
};

export function clientConfig(connection: Connection): ClientConfig {
  const where = 'url' in connection ? { connectionString: connection.url } : connection;
  return { ...where, types, application_name: 'fumehood', connectionTimeoutMillis: 10_000, keepAlive: true };
}

/**
 * Has PostgreSQL parse and plan each statement once a connection: that is most of the cost of the queue's statements. A
 * migration by a newer instance can make a plan useless; then the connection is closed, and the next one plans anew.
 */
class PreparingClient extends Client {
  constructor(config?: ClientConfig) {
    super(config);
    // A connection that breaks between two statements of a transaction: the next one fails, which is enough.
    this.on('error', () => {});
  }

  override query = ((text: unknown, values?: unknown, ...rest: unknown[]) => {
    if (typeof text !== 'string' || !Array.isArray(values) || values.length === 0 || rest.length > 0)
      return (super.query as Send)(text, values, ...rest);
    const name = nameOf(text);
    return (super.query({ name, text, values }) as Promise<unknown>).catch((error: unknown) => {
      if ((error as { code?: string }).code === planOfBefore) void this.end().catch(() => {});
      throw error;
    });
  }) as Client['query'];
}

/** Names of statements by their text, of which there are as many as there are in the code. */
const names = new Map<string, string>();
function nameOf(text: string): string {
  let name = names.get(text);
  if (name === undefined) {
    name = createHash('sha1').update(text).digest('base64');
    names.set(text, name);
  }
  return name;
}

/** "cached plan must not change result type" (feature_not_supported). */
const planOfBefore = '0A000';

type Send = (...args: unknown[]) => unknown;

/** PostgreSQL's settings for statements that are planned once, and then asked of tables of any size. */
const planning = {
  // Left to itself, it takes the lists in our statements for longer than they are, thinks that it can do better for the values of
  // each call, and plans anew with each.
  plan_cache_mode: 'force_generic_plan',
  // A plan that was made while a table was small must not walk through it when it has grown, as it can within a second.
  enable_seqscan: 'off',
  // It compiles what it thinks is costly, and without walks through tables that is a guess.
  jit: 'off',
};

/** A pool of connections. It makes new ones when PostgreSQL was restarted; what was under way then fails once. */
export function connect(connection: Connection, options: { readonly connections?: number } = {}): Db {
  const pool = new Pool({
    ...clientConfig(connection),
    max: options.connections ?? 16,
    Client: PreparingClient,
    options: Object.entries(planning)
      .map(([name, value]) => `-c ${name}=${value}`)
      .join(' '),
  });
  // An idle connection that PostgreSQL ended: the pool has dropped it already.
  pool.on('error', () => {});
  return new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
}
