import { createHash } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'pg';
import type { Connection, InstanceConfig } from '../config.ts';
import { clientConfig } from '../db/connect.ts';
import { ArchiveWriter, type Header, headerName, keyName, sequencesName } from './archive.ts';
import { copyOut } from './copy.ts';
import { blobDamaged } from './errors.ts';
import { holdRemoval } from './hold.ts';
import { copyStatement, readMigrations, readSequences, readTables } from './tables.ts';

export interface BackupSource {
  readonly connection: Connection;
  readonly directories: InstanceConfig['directories'];
  /** The content of the file with the key of the instance's secrets; null: the backup has none. */
  readonly key: Buffer | null;
  /** The version of Fumehood that writes it. */
  readonly version: string;
}

/** What a backup holds. */
export interface BackupFacts {
  readonly version: string;
  readonly madeAt: string;
  readonly jobs: number;
  readonly images: number;
  readonly commits: number;
  readonly bytes: number;
}

/** Bytes of a member that holds a part of a table, at most, unless one row has more. */
const partBytes = 4 * 2 ** 20;
const newline = 10;

/**
 * Writes everything that an instance stores to a file, in one archive, while the instance may run: the tables as they are in one moment,
 * and then the images and commits, none of which is removed meanwhile. Errors: `blob_damaged`, those of PostgreSQL and of the disk.
 */
export async function writeBackup(
  file: FileHandle,
  { connection, directories, key, version }: BackupSource,
  onBytes: (bytes: number) => void,
): Promise<BackupFacts> {
  const client = new Client(clientConfig(connection));
  client.on('error', () => {}); // the statement that runs, or the next one, fails
  await client.connect();
  try {
    await holdRemoval(client);
    await client.query('begin isolation level repeatable read read only');
    const archive = new ArchiveWriter(file, onBytes);
    const madeAt = new Date().toISOString();
    const { rows } = await client.query<{ jobs: number }>('select count(*) as jobs from jobs');
    const tables = await readTables(client);
    const migrations = await readMigrations(client);
    await archive.addJson(headerName, { format: 1, version, madeAt, migrations, tables } satisfies Header);
    await archive.addJson(sequencesName, await readSequences(client));
    if (key) await archive.addFile(keyName, key.length, [key]);
    for (const table of tables) {
      let part = 0;
      for await (const chunks of inParts(copyOut(client, copyStatement(table, 'to stdout')))) {
        part += 1;
        const size = chunks.reduce((sum, { length }) => sum + length, 0);
        await archive.addFile(`tables/${table.name}/${part}`, size, chunks);
      }
    }
    await client.query('commit');
    const images = await addBlobs(archive, join(directories.blobs, 'sha256'));
    const commits = await addRepositories(archive, directories.repositories);
    await client.query('select'); // fails if the connection was lost, and with it the hold
    await archive.finish();
    return { version, madeAt, jobs: rows[0]?.jobs ?? 0, images, commits, bytes: archive.bytes };
  } finally {
    await client.end();
  }
}

/** Gathers chunks into parts of about `partBytes`, each of whole rows: a row is a line. */
async function* inParts(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer[]> {
  let part: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    part.push(chunk);
    bytes += chunk.length;
    if (bytes < partBytes || chunk.at(-1) !== newline) continue;
    yield part;
    part = [];
    bytes = 0;
  }
  if (part.length > 0) yield part;
}

/** Adds the images, and checks their digests. Returns how many. */
async function addBlobs(archive: ArchiveWriter, directory: string): Promise<number> {
  const names = (await readdir(directory)).filter((name) => /^[0-9a-f]{64}$/.test(name)).sort();
  for (const name of names) {
    const hash = createHash('sha256');
    await addFile(archive, `blobs/${name}`, join(directory, name), (chunk) => hash.update(chunk));
    if (hash.digest('hex') !== name) throw blobDamaged(join(directory, name));
  }
  return names.length;
}

/** Adds the repositories, of one commit each. Returns how many. */
async function addRepositories(archive: ArchiveWriter, directory: string): Promise<number> {
  let commits = 0;
  for (const place of (await readdir(directory)).filter((name) => /^[0-9a-f]{32}$/.test(name)).sort())
    for (const name of (await readdir(join(directory, place))).sort()) {
      commits += 1;
      await addTree(archive, `repositories/${place}/${name}`, join(directory, place, name));
    }
  return commits;
}

async function addTree(archive: ArchiveWriter, path: string, source: string): Promise<void> {
  await archive.addDirectory(path, permissionsOf(await lstat(source)));
  const entries = await readdir(source, { withFileTypes: true });
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const below = [`${path}/${entry.name}`, join(source, entry.name)] as const;
    if (entry.isDirectory()) await addTree(archive, ...below);
    else await addFile(archive, ...below);
  }
}

/** Adds a regular file. Files of the stores never change. */
async function addFile(
  archive: ArchiveWriter,
  path: string,
  source: string,
  onChunk: (chunk: Buffer) => void = () => {},
): Promise<void> {
  await using file = await open(source, constants.O_RDONLY | constants.O_NOFOLLOW);
  const stats = await file.stat();
  const chunks = async function* () {
    if (stats.size === 0) return;
    for await (const chunk of file.createReadStream({
      autoClose: false,
      end: stats.size - 1,
      highWaterMark: 262_144,
    })) {
      onChunk(chunk as Buffer);
      yield chunk as Buffer;
    }
  };
  await archive.addFile(path, stats.size, chunks(), permissionsOf(stats));
}

const permissionsOf = ({ mode }: Stats) => mode & 0o7777;
