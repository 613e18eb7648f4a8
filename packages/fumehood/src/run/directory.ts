import { resolve } from 'node:path';
import { Readable } from 'node:stream';
import { archiveDirectory, type Client } from '@fumehood/client';
import { gitFiles } from './git-files.ts';
import { reporting, type SendProgress } from './progress.ts';

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
  const archive = await archiveDirectory(root, await gitFiles(root));
  for (const path of archive.skipped)
    report.line(`left out ${path}: it is a socket, a device or a named pipe`);
  const { digest, size } = archive;
  if (await client.hasBlob(digest)) return digest;
  const parts = reporting(archive.open(), { digest, totalBytes: size }, report.progress);
  await client.putBlob(digest, Readable.from(parts, { objectMode: false }), size);
  return digest;
}
