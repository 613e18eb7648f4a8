import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@fumehood/base';
import { sql } from 'kysely';
import { instanceUsers } from '../helper/users.ts';
import type { Connection } from '../config.ts';
import { connect } from './connect.ts';
import { migrate } from './migrate.ts';
import { findEmbeddedPostgres } from './server/embedded.ts';
import { startDatabase } from './server/start.ts';

/** A PostgreSQL server for the tests of one file. */
export interface TestServer {
  /** Makes a new database with every migration. */
  clone(): Promise<Connection>;
  /** Drops the databases that `clone` made. */
  stop(): Promise<void>;
}

export const migrations = join(import.meta.dirname, 'migrations');

/** The environment variable by which the workers of vitest find the server that `setup` started: its connections, as JSON. */
const variable = 'FUMEHOOD_TEST_POSTGRES';
type Connections = Pick<Awaited<ReturnType<typeof startDatabase>>, 'connection' | 'adminConnection'>;

/**
 * Starts one server for a whole run of vitest, as its `globalSetup`: a server takes 2.5 s to start, a clone of the template
 * database half a second. Returns the teardown.
 */
export async function setup(): Promise<() => Promise<void>> {
  const directory = await mkdtemp(join(tmpdir(), 'fumehood-db-'));
  const { username } = userInfo();
  const server = await startDatabase(
    {
      directory,
      runAs: instanceUsers().postgres,
      admin: username,
      owner: username,
      searchPath: process.env.PATH ?? '',
      embeddedPackage: findEmbeddedPostgres(),
      // Without syncs: a test's data need not survive a power loss.
      settings: { fsync: 'off', log_min_messages: 'fatal', log_checkpoints: 'off' },
    },
    systemClock,
  );
  const template = connect(server.connection, { connections: 1 });
  await migrate(template, migrations);
  await template.destroy(); // a template must have no connections
  const { connection, adminConnection } = server;
  process.env[variable] = JSON.stringify({ connection, adminConnection } satisfies Connections);
  return async () => {
    await server.stop();
    await rm(directory, { recursive: true, force: true });
  };
}

/** Opens the server of this run of vitest, for the tests of one file. Throws a `TypeError` when `setup` did not run. */
export function openTestServer(): TestServer {
  const connections = process.env[variable];
  if (connections === undefined) throw new TypeError('globalSetup of vitest.config.ts has started no server');
  const { connection, adminConnection } = JSON.parse(connections) as Connections;
  const admin = connect(adminConnection, { connections: 1 });
  const names: string[] = [];
  return {
    async clone() {
      const name = `test_${randomUUID().replaceAll('-', '')}`;
      names.push(name);
      await sql`create database ${sql.ref(name)} template fumehood owner fumehood`.execute(admin);
      return { ...connection, database: name };
    },
    async stop() {
      for (const name of names) await sql`drop database ${sql.ref(name)} with (force)`.execute(admin);
      await admin.destroy();
    },
  };
}
