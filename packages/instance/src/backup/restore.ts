import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { buffer } from 'node:stream/consumers';
import type { Identity } from '@fumehood/base';
import { Client } from 'pg';
import type { Connection, InstanceConfig } from '../config.ts';
import { clientConfig, connect } from '../db/connect.ts';
import { knownMigrations, migrate } from '../db/migrate.ts';
import { sync } from '../durable.ts';
import type { Member } from './archive.ts';
import { type Contents, readBackup, skipMember } from './check.ts';
import { copyIn } from './copy.ts';
import { checkEmpty, emptySchema } from './empty.ts';
import { backupInvalid, backupNewer } from './errors.ts';
import { stageFiles } from './files.ts';
import { copyStatement, readMigrations, readTables, type Table } from './tables.ts';

export interface RestoreTarget {
  readonly connection: Connection;
  readonly directories: InstanceConfig['directories'];
  /** Directory of the numbered `.sql` files. */
  readonly migrations: string;
  /** A path on the disk of `directories`, in a directory that only this process's user can write. */
  readonly staging: string;
  /** The user of the instance; null: this process's. */
  readonly owner: Identity | null;
  /** Where the key of the instance's secrets goes, if the backup has one. */
  readonly keyFile: string;
}

/**
 * Checks a whole archive, and that this version knows its migrations. Changes nothing. Errors: `backup_invalid`, `backup_newer`, those of
 * the file.
 */
export async function checkBackup(
  path: string,
  migrations: string,
  onBytes: (bytes: number) => void,
): Promise<Contents> {
  const contents = await readBackup(path, skipMember, onBytes);
  const known = await knownMigrations(migrations);
  const { version } = contents.header;
  const unknown = contents.header.migrations.find((name) => !known.includes(name));
  if (unknown !== undefined) throw backupNewer(unknown, version);
  return contents;
}

/**
 * Restores an archive that `checkBackup` has accepted into an empty instance that does not run. A kill at any moment leaves an empty
 * instance, into which it can be restored again, or the whole of it. Errors: `restore_not_empty`, `backup_invalid`, those of PostgreSQL
 * and of the disk.
 */
export async function restoreBackup(
  path: string,
  { header: { migrations: applied } }: Contents,
  target: RestoreTarget,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const client = new Client(clientConfig(target.connection));
  client.on('error', () => {}); // the statement that runs, or the next one, fails
  await client.connect();
  try {
    await checkEmpty(client, target.migrations);
    const isAsThen = (await readMigrations(client)).join() === applied.join();
    if (!isAsThen) {
      await emptySchema(client);
      await migrateTo(target, applied);
    }
    let key: Buffer | null = null;
    const files = await stageFiles(target.staging, target.directories, target.owner);
    try {
      await client.query('begin');
      const tables = new Map((await readTables(client)).map((table) => [table.name, table]));
      if (tables.size > 0) await client.query(`truncate ${[...tables.keys()].map(quoted).join(', ')}`);
      const { sequences } = await readBackup(
        path,
        async (member, header) => {
          if (member.name.kind === 'key') key = await buffer(member.body);
          else if (member.name.kind !== 'table') await files.add(member);
          else await copyPart(client, member, tables, header.tables);
        },
        onBytes,
      );
      for (const { name, last, isCalled } of sequences)
        await client.query('select setval($1::regclass, $2::bigint, $3)', [quoted(name), last, isCalled]);
      await endLeases(client);
      await files.moveIn();
      if (key) await writeKey(key, target);
      await client.query('commit');
    } finally {
      await files.remove();
    }
  } finally {
    await client.end(); // ends a transaction that is open
  }
  await migrateTo(target);
}

async function migrateTo(
  { connection, migrations }: RestoreTarget,
  only: readonly string[] | null = null,
): Promise<void> {
  const db = connect(connection, { connections: 1 });
  try {
    await migrate(db, migrations, only);
  } finally {
    await db.destroy();
  }
}

/** Copies a part of a table in. Errors: `backup_invalid` if the migrations of the archive make no such table. */
async function copyPart(
  client: Client,
  { name, body }: Member,
  tables: ReadonlyMap<string, Table>,
  stated: readonly Table[],
): Promise<void> {
  const table = name.kind === 'table' ? stated.find((one) => one.name === name.table) : undefined;
  const there = table && tables.get(table.name);
  if (!table || !there || !table.columns.every((column) => there.columns.includes(column)))
    throw backupInvalid(`it has a table ${table?.name ?? ''} that its migrations do not make`);
  await copyIn(client, copyStatement(table, 'from stdin'), body);
}

/** The executors of before do not know this instance: what they had leased runs again, as when a lease runs out. */
async function endLeases(client: Client): Promise<void> {
  await client.query(`
    update jobs set lease_expires_at = least(lease_expires_at, clock_timestamp() - interval '1 second')
    where state = 'processing'
  `);
}

/** Before the commit: what is encrypted in the database is never there without its key. */
async function writeKey(key: Buffer, { keyFile, owner }: RestoreTarget): Promise<void> {
  const staged = `${keyFile}.new`;
  await rm(staged, { force: true });
  const file = await open(staged, 'wx', 0o600);
  try {
    await file.writeFile(key);
    if (owner) await file.chown(owner.uid, owner.gid);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(staged, keyFile);
  await sync(dirname(keyFile));
}

const quoted = (identifier: string) => `"${identifier.replaceAll('"', '""')}"`;
