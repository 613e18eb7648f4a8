import { resolve } from 'node:path';
import { Readable } from 'node:stream';
import { archiveDirectory, type Client } from '@fumehood/client';
import { gitFiles } from './git-files.ts';
import { reporting, type SendProgress } from './progress.ts';

/** A directory that is read faster than this is no news. */
const quietMs = 1_000;

/** Gets what happens to a directory on its way to the instance. */
export interface DirectoryReport {
  /** A line for people. */
  readonly line: (text: string) => void;
  readonly progress: (progress: SendProgress) => void;
}

/**
 * Sends a directory to the instance, unless the instance has it as it is now, and returns the digest of its archive. Files that git
 * ignores are left out. Errors: `directory_invalid`, `file_changed`, `repository_unreadable`, and those of the client.
 */
export async function sendDirectory(
  client: Client,
  directory: string,
  report: DirectoryReport,
): Promise<string> {
  const root = resolve(directory);
  const reading = setTimeout(() => report.line(`reading ${root}`), quietMs);
  const archive = await gitFiles(root)
    .then((only) => archiveDirectory(root, only))
    .finally(() => clearTimeout(reading));
  for (const path of archive.skipped)
    report.line(`left out ${path}: it is a socket, a device or a named pipe`);
  const { digest, size } = archive;
  if (await client.hasBlob(digest)) return digest;
  const parts = reporting(archive.open(), { digest, totalBytes: size }, report.progress);
  await client.putBlob(digest, Readable.from(parts, { objectMode: false }), size);
  return digest;
}
