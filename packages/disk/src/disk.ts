import { chmod, copyFile, mkdtemp, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { runToEnd, type Spawn, sharedDirectory } from '@fumehood/base';
import { diskInvalid } from './errors.ts';
import { diskSize } from './limits.ts';

/**
 * Streams a tar into a read-only disk (squashfs, lz4) and puts it at `file`, complete or not at all. Nothing is unpacked on the host;
 * the program that makes the disk runs in a sandbox (`Spawn`). Only this process's user may read the disk. `countEntries` is called when the tar has ended and returns the
 * number of its members without the root. Returns the size of the file system. Errors: `disk_invalid`, `program_failed`.
 */
export async function writeDisk(
  spawn: Spawn,
  tar: AsyncIterable<Uint8Array>,
  file: string,
  countEntries: () => number,
): Promise<{ readonly bytes: number }> {
  const work = await mkdtemp(join(dirname(file), '.disk-'));
  const shared = join(work, 'out');
  try {
    await chmod(work, 0o710); // the program, which has this process's group, must get through
    await sharedDirectory(shared);
    const bind = { source: shared, target: '/out', mode: 'rw' as const };
    await runToEnd(
      spawn,
      {
        label: 'sqfstar',
        program: '/usr/bin/sqfstar',
        args: ['-comp', 'lz4', '-no-progress', '-quiet', '-exit-on-error', '/out/disk'],
        binds: [bind],
        limits: { memoryBytes: 0 },
      },
      { stdin: Readable.from(tar) },
    );
    const written = join(shared, 'disk');
    await checkListing(spawn, bind, countEntries());
    // Copied, so that the program has no access to the disk that is used.
    const own = join(work, 'disk');
    await copyFile(written, own);
    const handle = await open(own, 'r+');
    const { size: bytes } = await handle.stat();
    await handle.truncate(diskSize);
    await handle.sync();
    await handle.close();
    await chmod(own, 0o400); // a VM gets the descriptor, and opens no path
    await rename(own, file);
    return { bytes };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Checks that the disk has at least as many members as were written: sqfstar has been seen to exit with 0 although some were missing. */
async function checkListing(
  spawn: Spawn,
  bind: { source: string; target: string; mode: 'rw' },
  entries: number,
): Promise<void> {
  const process = await spawn({
    label: 'unsquashfs',
    program: '/usr/bin/unsquashfs',
    args: ['-quiet', '-ls', '/out/disk'],
    binds: [{ ...bind, mode: 'ro' }],
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
