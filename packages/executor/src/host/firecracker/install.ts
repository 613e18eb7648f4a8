import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { factsOf, FumehoodError, type Identity } from '@fumehood/base';
import { type ReadEntry, readTar } from '@fumehood/disk';
import { firecrackerVersion } from '@fumehood/microvm';
import * as z from 'zod';
import { archiveWrong, installFailed } from '../../errors.ts';
import { type Release, releaseMember } from './releases.ts';

/** Limits of an unpacked archive: those of Firecracker have 24 members. */
const limits = { maxEntries: 1_000, maxBytes: 2 ** 30, maxExtensionBytes: 2 ** 20 };
/** The largest binary, bytes: that of Firecracker has a few MB. */
const binaryMax = 128 * 2 ** 20;

/** The file beside a binary that says what it was installed from. */
const recordName = 'install.json';
const recordSchema = z.object({ version: z.string(), sha256: z.string(), from: z.string() });

/** Prefix of a directory that is being made. */
const partial = 'partial-';

/** Returns the path of an installed version's binary. Each version has a directory of its own, which is never changed. */
export function installedBinary(directory: string, version: string): string {
  return join(directory, version, 'firecracker');
}

/**
 * Returns whether this release is installed. Errors: `install_failed` if another archive of this version, or a damaged one, is there.
 */
export async function isInstalled(
  directory: string,
  release: Release,
  identity: Identity | null,
): Promise<boolean> {
  const binary = installedBinary(directory, release.version);
  const target = dirname(binary);
  if (!existsSync(target)) return false;
  const another = `Remove ${target} if no executor runs it, and run the command again.`;
  const record = await readRecord(target);
  if (record?.sha256 !== release.sha256)
    throw installFailed(`${target} is there, and is not from the archive ${release.sha256}`, another);
  await firecrackerVersion(binary, identity).catch((error: unknown) => {
    throw installFailed(`${target} is damaged: ${factsOf(error).message}`, another);
  });
  return true;
}

async function readRecord(target: string): Promise<z.infer<typeof recordSchema> | null> {
  try {
    return recordSchema.parse(JSON.parse(await readFile(join(target, recordName), 'utf8')));
  } catch {
    return null; // there is none, or another program wrote it
  }
}

/**
 * Installs the binary of a release from its archive, whose checksum was compared before. The version's directory appears at once, when
 * its binary has been written and has said that it is this version; nothing else is changed, so that executors keep what they run.
 * The caller holds the lock of the state directory: what earlier calls left is removed. The binary says its version as `identity`.
 * Errors: `archive_wrong`, `vmm_refused`, `install_failed`.
 */
export async function installArchive(
  archive: Buffer,
  {
    directory,
    release,
    from,
    identity,
  }: {
    readonly directory: string;
    readonly release: Release;
    /** Where the archive is from, for the record. */
    readonly from: string;
    readonly identity: Identity | null;
  },
): Promise<void> {
  const name = `${partial}${randomUUID()}`;
  const work = join(directory, name);
  const binary = installedBinary(directory, name);
  try {
    await mkdir(directory, { recursive: true, mode: 0o755 });
    for (const left of await readdir(directory))
      if (left.startsWith(partial)) await rm(join(directory, left), { recursive: true, force: true });
    await mkdir(work, { mode: 0o755 });
    await unpackBinary(archive, release, from, binary);
    const version = await firecrackerVersion(binary, identity);
    if (version !== release.version)
      throw archiveWrong(from, `its binary is Firecracker ${version} instead of ${release.version}`);
    const record: z.infer<typeof recordSchema> = { version, sha256: release.sha256, from };
    await writeFile(join(work, recordName), JSON.stringify(record), { mode: 0o644 });
    await rename(work, join(directory, version));
  } catch (error) {
    const { code, syscall, message } = error as NodeJS.ErrnoException;
    if (syscall === undefined) throw error;
    throw installFailed(
      `${directory} cannot be written: ${message}`,
      code === 'ENOSPC' || code === 'EDQUOT' ? 'Free some space there.' : `Look at ${directory}.`,
    );
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Writes the one member of the archive that is needed to `target`. */
async function unpackBinary(archive: Buffer, release: Release, from: string, target: string): Promise<void> {
  const name = releaseMember(release);
  const source = Readable.from([archive]);
  const plain = source.pipe(createGunzip());
  source.on('error', (error) => plain.destroy(error));
  try {
    for await (const entry of readTar(plain, limits)) {
      if (entry.path.replace(/^\.\//, '') !== name) continue;
      if (entry.type !== 'file') throw archiveWrong(from, `${name} in it is not a file`);
      if (entry.size > binaryMax) throw archiveWrong(from, `${name} in it has more than ${binaryMax} bytes`);
      await writeBinary(entry, target);
      return;
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code?.startsWith('Z_') || isTarError(error))
      throw archiveWrong(from, factsOf(error).message);
    throw error;
  }
  throw archiveWrong(from, `${name} is not in it`);
}

const isTarError = (error: unknown) => error instanceof FumehoodError && error.code.startsWith('tar_');

async function writeBinary({ body }: ReadEntry, target: string): Promise<void> {
  const file = await open(target, 'wx', 0o755);
  try {
    await file.writeFile(body);
    await file.sync();
  } finally {
    await file.close();
  }
}
