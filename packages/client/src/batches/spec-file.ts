import { createReadStream } from 'node:fs';
import { lstat, readdir, readFile, realpath } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { type BatchSpec, checkBatchSpec } from '@fumehood/batch-spec';
import type { Client } from '../client.ts';
import { batchFileBytesMax, type BatchSpecRecord } from '@fumehood/protocol';
import { mountUnusable, specUnreadable } from './errors.ts';

/** A batch spec of this machine, which is valid. */
export interface SpecFile {
  readonly text: string;
  readonly spec: BatchSpec;
  /** What its steps mount, from its directory. */
  readonly mounts: readonly MountedFile[];
}

/** A file that a step mounts. */
interface MountedFile {
  /** From the directory of the batch spec, with slashes. */
  readonly path: string;
  readonly file: string;
  readonly bytes: number;
  readonly modifiedAt: Date;
}

/** Most files that the steps of a batch spec mount. */
const filesMax = 1_000;

/**
 * Reads a batch spec and finds the files that its steps mount; `-` is stdin, whose directory is the working directory. Errors:
 * `batch_spec_unreadable`, `batch_spec_invalid`, `mount_unusable`.
 */
export async function readSpecFile(path: string, stdin: AsyncIterable<Uint8Array>): Promise<SpecFile> {
  const text = path === '-' ? await textOf(stdin) : await readFile(path, 'utf8').catch(unreadable(path));
  const spec = checkBatchSpec(text);
  const directory = await realpath(path === '-' ? '.' : dirname(path));
  const paths = new Set((spec.steps ?? []).flatMap(({ mount = [] }) => mount.map((one) => one.path)));
  const found = new Map<string, MountedFile>();
  for (const one of paths)
    for await (const file of filesBelow(directory, one)) {
      found.set(file.path, file);
      if (found.size > filesMax) throw mountUnusable(one, `the steps mount more than ${filesMax} files`);
    }
  return { text, spec, mounts: [...found.values()] };
}

/** Sends the files that the steps of a batch spec mount. */
export async function sendMounts(
  { batches }: Pick<Client, 'batches'>,
  { id }: BatchSpecRecord,
  mounts: readonly MountedFile[],
): Promise<void> {
  for (const { file, ...facts } of mounts) await batches.putFile(id, facts, createReadStream(file));
}

async function textOf(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts).toString();
}

const unreadable = (path: string) => (error: NodeJS.ErrnoException) => {
  throw specUnreadable(path, reasonOf(error));
};

/** Says why a file cannot be read. */
function reasonOf({ code = '', message }: NodeJS.ErrnoException): string {
  return reasons[code] ?? message;
}
const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'this user may not read it',
  EISDIR: 'it is a directory',
};

/** Yields the files at and below a path. A link, and what is outside of the directory, is refused. */
async function* filesBelow(directory: string, path: string): AsyncGenerator<MountedFile> {
  const file = join(directory, path);
  const is = await lstat(file).catch((error: NodeJS.ErrnoException) => {
    throw mountUnusable(path, reasonOf(error));
  });
  const inside = relative(directory, await realpath(file));
  if (inside === '..' || inside.startsWith(`..${sep}`))
    throw mountUnusable(path, 'it is not below the directory of the batch spec');
  if (is.isDirectory()) {
    for (const name of (await readdir(file)).toSorted()) yield* filesBelow(directory, join(path, name));
    return;
  }
  if (!is.isFile()) throw mountUnusable(path, 'it is neither a file nor a directory');
  if (is.size > batchFileBytesMax) throw mountUnusable(path, `it has more than ${batchFileBytesMax} bytes`);
  yield { path: inside.split(sep).join('/'), file, bytes: is.size, modifiedAt: is.mtime };
}
