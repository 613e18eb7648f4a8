import { createHash } from 'node:crypto';
import { Kysely, PostgresDialect } from 'kysely';
import { Client, type ClientConfig, type CustomTypesConfig, Pool, types as pgTypes } from 'pg';
import type { Connection } from '../config.ts';

/** The database; statements are SQL, below `sql/` folders, with their row types beside them. */
export type Db = Kysely<unknown>;

/** Parses bigint columns as numbers: ids, offsets and counts, all far below 2^53. */
const types: CustomTypesConfig = {
  getTypeParser: (id, format) =>
    id === pgTypes.builtins.INT8 && format !== 'binary' ? Number : pgTypes.getTypeParser(id, format),
};

/** Returns the configuration of the `pg` client for a connection. */
export function clientConfig(connection: Connection): ClientConfig {
  const where = 'url' in connection ? { connectionString: connection.url } : connection;
  return { ...where, types, application_name: 'fumehood', connectionTimeoutMillis: 10_000, keepAlive: true };
}

/**
 * A client that prepares each statement: PostgreSQL parses and plans it once per connection, which is most of the cost of the
 * queue's statements. A migration by a newer instance can invalidate a plan. The statement then fails, and the client closes
 * the connection, so that the next one plans again.
 */
class PreparingClient extends Client {
  constructor(config?: ClientConfig) {
    super(config);
    // If the connection breaks between two statements of a transaction, the next statement fails: that is enough.
    this.on('error', () => {});
  }

  override query = ((text: unknown, values?: unknown, ...rest: unknown[]) => {
    if (typeof text !== 'string' || !Array.isArray(values) || values.length === 0 || rest.length > 0)
      return (super.query as Send)(text, values, ...rest);
    const name = nameOf(text);
    return (super.query({ name, text, values }) as Promise<unknown>).catch((error: unknown) => {
      if ((error as { code?: string }).code === stalePlan) void this.end().catch(() => {});
      throw error;
    });
  }) as Client['query'];
}

/** Statement names by text. There are as many as there are statements in the code. */
const names = new Map<string, string>();
function nameOf(text: string): string {
  let name = names.get(text);
  if (name === undefined) {
    name = createHash('sha1').update(text).digest('base64');
    names.set(text, name);
  }
  return name;
}

/** The error "cached plan must not change result type" (feature_not_supported). */
const stalePlan = '0A000';

type Send = (...args: unknown[]) => unknown;

/** PostgreSQL's settings for statements that are planned once and then run on tables of any size. */
const planning = {
  // By default, PostgreSQL overestimates the lists in our statements, expects a better plan for the values of each call, and
  // plans again for each of them.
  plan_cache_mode: 'force_generic_plan',
  // A plan that was made for a small table must not scan the whole table after it has grown, which may take only a second.
  enable_seqscan: 'off',
  // PostgreSQL compiles plans with a high estimated cost, and without sequential scans the estimates are wrong.
  jit: 'off',
};

/**
 * Opens a pool of connections. After a restart of PostgreSQL the pool opens new connections; statements that were running then
 * fail once.
 */
export function connect(connection: Connection, options: { readonly connections?: number } = {}): Db {
  const pool = new Pool({
    ...clientConfig(connection),
    max: options.connections ?? 16,
    Client: PreparingClient,
    options: Object.entries(planning)
      .map(([name, value]) => `-c ${name}=${value}`)
      .join(' '),
  });
  // PostgreSQL has ended an idle connection; the pool has dropped it already.
  pool.on('error', () => {});
  return new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
}
