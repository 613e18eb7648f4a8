import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@fumehood/base';
import { sql } from 'kysely';
import { instanceUsers } from '../helper/users.ts';
import { type Connection, connect } from './connect.ts';
import { migrate } from './migrate.ts';
import { startDatabase } from './server/start.ts';

/** A PostgreSQL server for the tests of one file. */
export interface TestServer {
  /** Makes a new database with every migration. */
  clone(): Promise<Connection>;
  stop(): Promise<void>;
}

export const migrations = join(import.meta.dirname, 'migrations');

/** Starts a server like the instance's helper does, but without syncs: a test's data need not survive a power loss. */
export async function startTestServer(): Promise<TestServer> {
  const directory = await mkdtemp(join(tmpdir(), 'fumehood-db-'));
  const { username } = userInfo();
  const server = await startDatabase(
    {
      directory,
      runAs: instanceUsers().postgres,
      admin: username,
      owner: username,
      searchPath: process.env.PATH ?? '',
      embeddedPackage: null,
      settings: { fsync: 'off', log_min_messages: 'fatal', log_checkpoints: 'off' },
    },
    systemClock,
  );
  const template = connect(server.connection, { connections: 1 });
  await migrate(template, migrations);
  await template.destroy(); // a template must have no connections
  const admin = connect(server.adminConnection, { connections: 1 });
  let clones = 0;
  return {
    async clone() {
      clones += 1;
      const name = `test_${clones}`;
      await sql`create database ${sql.ref(name)} template fumehood owner fumehood`.execute(admin);
      return { ...server.connection, database: name };
    },
    async stop() {
      await admin.destroy();
      await server.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
