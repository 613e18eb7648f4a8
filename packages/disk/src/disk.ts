import { chmod, copyFile, open, rename } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { Readable } from 'node:stream';
import { openOutput, runToEnd, type Spawn } from '@fumehood/base';
import { diskInvalid } from './errors.ts';
import { diskSize } from './limits.ts';

/** Memory for the caches of sqfstar, MiB. Without a limit it takes a quarter of the machine's. */
export const sqfstarMemoryMiB = 64;

/**
 * Streams a tar into a disk (squashfs, lz4) at `file`. Nothing is unpacked. It runs in a sandbox, as the programs that it starts do:
 * both read a tenant's bytes. `countEntries` is called when the tar has ended and returns the number of its members without the
 * root. Errors: `disk_invalid`, `program_failed`.
 */
export async function writeDisk(
  spawn: Spawn,
  tar: AsyncIterable<Uint8Array>,
  file: string,
  countEntries: () => number,
): Promise<void> {
  const format = ['-comp', 'lz4', '-no-progress', '-quiet', '-exit-on-error', '-mem', `${sqfstarMemoryMiB}M`];
  const request = {
    label: 'sqfstar',
    program: '/usr/bin/sqfstar',
    args: [...format, file],
    limits: { memoryBytes: 0 },
  };
  await runToEnd(spawn, request, { stdin: Readable.from(tar) });
  await checkListing(spawn, file, countEntries());
}

/**
 * Takes over a disk that a program in a sandbox has written as this user, and puts it at `file`, complete or not at all, readable by this
 * process's user alone. Copies it to `copy` for that, so that the program has no access to the disk that is used. Returns the size of
 * its file system. Errors: `output_refused` when the program left something else than a file, such as a link to a file of the host.
 */
export async function takeDisk(
  written: string,
  copy: string,
  file: string,
  uid: number,
): Promise<{ readonly bytes: number }> {
  const source = await openOutput(dirname(written), basename(written), { uid, maxBytes: diskSize });
  try {
    const { size: bytes } = await source.stat();
    await copyFile(`/proc/self/fd/${source.fd}`, copy);
    const own = await open(copy, 'r+');
    try {
      await own.truncate(diskSize);
      await own.sync();
    } finally {
      await own.close();
    }
    await chmod(copy, 0o400); // a VM gets the descriptor, and opens no path
    await rename(copy, file);
    return { bytes };
  } finally {
    await source.close();
  }
}

/** Checks that the disk has as many members as were written: sqfstar has been seen to exit with 0 although some were missing. */
async function checkListing(spawn: Spawn, file: string, entries: number): Promise<void> {
  const process = await spawn({
    label: 'unsquashfs',
    program: '/usr/bin/unsquashfs',
    args: ['-quiet', '-ls', file],
    limits: { memoryBytes: 0 },
  });
  process.stdin.end();
  process.stderr.resume();
  let lines = 0;
  for await (const chunk of process.stdout) for (const byte of chunk as Buffer) if (byte === 10) lines += 1;
  const { code } = await process.exited;
  // One line is the root. Names may contain newlines, so there may be more lines than members.
  if (code !== 0 || lines - 1 < entries)
    throw diskInvalid(`${entries} members were written, but it has ${lines - 1}`);
}
