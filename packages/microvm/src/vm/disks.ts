import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { vmRefused } from '../errors.ts';
import type { VmHost } from './host.ts';
import type { ScratchDisk } from './scratch.ts';

/**
 * Opens a read-only disk that the agent named. It must be a regular file that `owner` owns in `directory`, so that the agent
 * cannot have the helper open a file of somebody else. Errors: `vm_refused`.
 */
export async function openDisk(name: string, directory: string, owner: number): Promise<FileHandle> {
  if (!/^[A-Za-z0-9._-]{1,200}$/.test(name) || name.startsWith('.'))
    throw vmRefused(`${name} is not the name of a disk`);
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(join(directory, name), flags).catch((error: unknown) => {
    throw vmRefused(`the disk ${name} cannot be opened (${(error as NodeJS.ErrnoException).code})`);
  });
  const stat = await file.stat();
  if (stat.isFile() && stat.uid === owner) return file;
  await file.close();
  throw vmRefused(`the disk ${name} is not a regular file of the executor`);
}

/** Lets the members of a group read a disk. */
export async function giveToGroup(disk: FileHandle, owner: number, group: number): Promise<void> {
  await disk.chown(owner, group);
  await disk.chmod(0o440);
}

/** Makes a disk with a blank ext4 file system. */
export function makeScratchDisk(path: string, sizeMiB: number): Promise<ScratchDisk> {
  return makeUnlinked(path, async (file) => {
    await allocate(file, path, sizeMiB * 2 ** 20);
    const options = ['-q', '-F', '-m', '0', '-O', '^has_journal', '-E', 'nodiscard,lazy_itable_init=1', path];
    await promisify(execFile)('/usr/sbin/mkfs.ext4', options);
  });
}

/** Allocates the whole file now: a VM that found the host's disk full later could only be stopped. */
async function allocate(file: FileHandle, path: string, bytes: number): Promise<void> {
  try {
    await promisify(execFile)('/usr/bin/fallocate', ['--length', String(bytes), path]);
  } catch (error) {
    if (!/not supported/i.test((error as Error).message)) throw error;
    await file.truncate(bytes); // this file system cannot allocate ahead
  }
}

/**
 * Bytes of the disks of a template, 1 TiB: more than any disk that takes their place in a clone. A guest reads no further than its
 * file systems.
 */
const blankDiskBytes = 2 ** 40;

/** Makes an empty disk, as a template has in each of its slots: a file without blocks, which everybody may read. */
export function makeBlankDisk(path: string): Promise<[writer: FileHandle, reader: FileHandle]> {
  return makeUnlinked(path, async (file) => {
    await file.chmod(0o444);
    await file.truncate(blankDiskBytes);
  });
}

/** Makes the empty disk that a template has in place of a scratch disk. */
export function makeBlankScratchDisk(path: string): Promise<ScratchDisk> {
  return makeUnlinked(path, (file) => file.truncate(blankDiskBytes));
}

/** Gives a scratch disk to the user of its VM, whose VMM may have to open the descriptor again. Without root it is the same user. */
export async function giveScratchDisk([file]: ScratchDisk, identity: VmHost['identity']): Promise<void> {
  if (identity) await file.chown(identity.uid, identity.gid);
}

/** Makes a file, fills it, and unlinks it: the kernel frees it with its last descriptor, also after a crash. */
async function makeUnlinked(
  path: string,
  fill: (file: FileHandle) => Promise<void>,
): Promise<[writer: FileHandle, reader: FileHandle]> {
  const file = await open(path, 'wx+', 0o600);
  try {
    await fill(file);
    return [file, await open(path, 'r')];
  } catch (error) {
    await file.close();
    throw error;
  } finally {
    await unlink(path);
  }
}
