import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { lstat, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type ReadEntry, readTar } from '@fumehood/disk';
import { artifactInvalid, artifactNotWritten } from '../errors.ts';
import { limits } from './list.ts';

/** Limits of an archive: what an executor takes out of a VM. */
const tarLimits = { maxEntries: 100_001, maxBytes: 2 ** 30, maxExtensionBytes: 64 * 2 ** 20 } as const;
const nameMax = 255;

/** What was written of an archive. */
export interface Unpacked {
  readonly files: number;
  /** Paths that were left out: links, and what no archive of ours has. */
  readonly skipped: readonly string[];
}

/**
 * Writes what a job brought back from `path` to the same path below `target`, which exists. The archive is taken for hostile: only
 * regular files and directories of `path` are written, without links, owners or special bits. They are first written to a new
 * directory, and then moved to their places one by one: a file that is in a file's place is replaced, a link is never followed. Errors:
 * `artifact_invalid` before anything is in its place; `artifact_not_written` for what is in the way, and those of the file system.
 */
export async function unpackArtifact(
  archive: AsyncIterable<Uint8Array>,
  path: string,
  target: string,
): Promise<Unpacked> {
  const staged = join(target, `.fumehood-${randomUUID()}`);
  await mkdir(staged, { mode: 0o700 });
  try {
    const unpacked = await writeMembers(archive, path, staged);
    const parents = path.split('/').slice(0, -1);
    let place = target;
    for (const parent of parents) {
      place = join(place, parent);
      await makeDirectory(place);
    }
    await moveInto(join(staged, path), join(target, path));
    return unpacked;
  } finally {
    await rm(staged, { recursive: true, force: true });
  }
}

/** Writes the members below a new directory, in which nothing but them is. Errors: `artifact_invalid`. */
async function writeMembers(
  archive: AsyncIterable<Uint8Array>,
  path: string,
  staged: string,
): Promise<Unpacked> {
  const skipped: string[] = [];
  const directories = new Set<string>();
  let files = 0;
  let hasRoot = false;
  let pathBytes = 0;
  const top = Buffer.from(path).toString('latin1');
  await mkdir(join(staged, dirname(path)), { recursive: true });
  for await (const entry of readTar(archive, tarLimits)) {
    checkPath(entry.path, top);
    pathBytes += entry.path.length;
    if (pathBytes > limits.pathBytes) throw artifactInvalid(path, 'its paths are too long together');
    const parent = entry.path.slice(0, Math.max(0, entry.path.lastIndexOf('/')));
    if (entry.path === top ? hasRoot : !directories.has(parent))
      throw artifactInvalid(path, `${shown(entry.path)} is in no directory, or there twice`);
    const place = Buffer.concat([Buffer.from(`${staged}/`), Buffer.from(entry.path, 'latin1')]);
    try {
      if (entry.type === 'directory') {
        await mkdir(place);
        directories.add(entry.path);
      } else if (entry.type === 'file') {
        await writeFile(place, entry);
        files += 1;
      } else skipped.push(Buffer.from(entry.path, 'latin1').toString());
    } catch (error) {
      // On a file system that does not tell upper from lower case, two names may be one.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      throw artifactInvalid(path, `${shown(entry.path)} is there twice`);
    }
    hasRoot ||= entry.path === top && ['file', 'directory'].includes(entry.type);
  }
  if (!hasRoot) throw artifactInvalid(path, 'it does not have this path');
  return { files, skipped };
}

/** Checks that a member is `top`, or below it. Errors: `artifact_invalid`. */
function checkPath(path: string, top: string): void {
  const parts = path.split('/');
  const isPlain = parts.every(
    (part) => part !== '' && part !== '.' && part !== '..' && part.length <= nameMax && !/[\0\\]/.test(part),
  );
  if (!isPlain || path.length > limits.path || parts.length > limits.depth)
    throw artifactInvalid(top, `${shown(path)} is not a path that can be written`);
  if (path !== top && !path.startsWith(`${top}/`))
    throw artifactInvalid(top, `${shown(path)} is not below it`);
}

async function writeFile(place: Buffer, { mode, body }: ReadEntry): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = await open(place, flags, mode & 0o100 ? 0o777 : 0o666);
  try {
    for await (const part of body) await file.writeFile(part);
  } finally {
    await file.close();
  }
}

/** Makes a directory unless it is there. Errors: `artifact_not_written` for a link or a file in its place. */
async function makeDirectory(place: string): Promise<void> {
  const stats = await lstat(place).catch(() => null);
  if (!stats) await mkdir(place);
  else if (!stats.isDirectory()) throw artifactNotWritten(place, 'it is not a directory');
}

/** Moves a file or a directory to its place. What is in a directory already, and not in this one, stays. */
async function moveInto(from: string, to: string): Promise<void> {
  const waiting = [{ from: Buffer.from(from), to: Buffer.from(to) }];
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const [source, present] = await Promise.all([lstat(next.from), lstat(next.to).catch(() => null)]);
    if (present && source.isDirectory() && present.isDirectory()) {
      for (const name of await readdir(next.from, { encoding: 'buffer' }))
        waiting.push({ from: below(next.from, name), to: below(next.to, name) });
    } else if (present?.isDirectory() || (present && source.isDirectory()))
      throw artifactNotWritten(
        next.to.toString(),
        'a directory is in the place of a file, or a file or a link in that of a directory',
      );
    // A file or a link at the place is replaced, and a link is not followed.
    else await rename(next.from, next.to);
  }
}

const below = (directory: Buffer, name: Buffer) => Buffer.concat([directory, Buffer.from('/'), name]);

function shown(path: string): string {
  return JSON.stringify(Buffer.from(path.slice(0, 200), 'latin1').toString());
}
