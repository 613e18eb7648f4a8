import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@fumehood/base';
import { Client } from 'pg';
import { clientConfig } from '../../packages/instance/src/db/connect.ts';
import { findEmbeddedPostgres } from '../../packages/instance/src/db/server/embedded.ts';
import { startDatabase } from '../../packages/instance/src/db/server/start.ts';
import { instanceUsers } from '../../packages/instance/src/helper/users.ts';

/** A database on the server that all contenders share. */
export interface BenchDatabase {
  readonly host: string;
  readonly user: string;
  readonly database: string;
}

export interface BenchServer {
  /** Creates an empty database. */
  database(name: string): Promise<BenchDatabase>;
  /** Returns the version of the server and its settings for durability. */
  facts(): Promise<Record<string, string>>;
  /** Returns how many bytes a database has. */
  bytes(database: BenchDatabase): Promise<number>;
  /** Vacuums and writes a checkpoint, so that no measurement pays for the set-up. */
  settle(databases: readonly BenchDatabase[]): Promise<void>;
  /** Stops the server and removes its files. */
  stop(): Promise<void>;
}

/** Starts a durable PostgreSQL as the product does. The only other settings are a quiet log and enough connections for every contender. */
export async function startServer(): Promise<BenchServer> {
  const directory = await mkdtemp(join(tmpdir(), 'fumehood-bench-'));
  const { username } = userInfo();
  const server = await startDatabase(
    {
      directory,
      runAs: instanceUsers().postgres,
      admin: username,
      owner: username,
      searchPath: process.env.PATH ?? '',
      embeddedPackage: findEmbeddedPostgres(),
      settings: { log_min_messages: 'panic', log_checkpoints: 'off', max_connections: '250' },
    },
    systemClock,
  ).catch(async (error: unknown) => {
    await rm(directory, { recursive: true, force: true });
    throw error;
  });
  const asAdmin = async <T>(use: (admin: Client) => Promise<T>, where: object = {}): Promise<T> => {
    const admin = new Client({ ...clientConfig(server.adminConnection), ...where });
    await admin.connect();
    try {
      return await use(admin);
    } finally {
      await admin.end();
    }
  };
  const { host, user } = server.connection as BenchDatabase;
  return {
    async database(name) {
      const database = `bench_${name.replaceAll(/\W+/g, '_')}`;
      await asAdmin((admin) => admin.query(`create database ${database} owner ${user}`));
      return { host, user, database };
    },
    facts: () =>
      asAdmin(async (admin) => {
        const { rows } = await admin.query<Record<string, string>>(
          `select current_setting('server_version') as version, current_setting('fsync') as fsync,
                  current_setting('synchronous_commit') as synchronous_commit,
                  current_setting('full_page_writes') as full_page_writes,
                  current_setting('shared_buffers') as shared_buffers`,
        );
        return rows[0] as Record<string, string>;
      }),
    bytes: ({ database }) =>
      asAdmin(async (admin) => {
        const { rows } = await admin.query<{ bytes: number }>('select pg_database_size($1) as bytes', [
          database,
        ]);
        return Number(rows[0]?.bytes);
      }),
    async settle(databases) {
      for (const { database } of databases)
        await asAdmin((admin) => admin.query('vacuum analyze'), { database });
      await asAdmin((admin) => admin.query('checkpoint'));
    },
    async stop() {
      await server.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
