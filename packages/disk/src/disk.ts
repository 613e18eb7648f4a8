import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { chmod, copyFile, mkdtemp, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { runToEnd, type Spawn, sharedDirectory } from '@fumehood/base';
import { diskInvalid } from './errors.ts';

/** Apparent size of every read-only disk: one size fits every slot of a template (design §4). Sparse on the host. */
export const diskSize = 64 * 2 ** 30;

/** What the tar writer says about what it wrote, so that the finished disk can be held against it. */
export interface TarSummary {
  /** Members besides the root itself. */
  readonly entries: number;
}

/**
 * Streams a tar into a read-only disk (squashfs, lz4) and puts it at `file`, complete or not at all. Nothing is unpacked; the
 * program that makes it runs under the Spawn profile. `summary` is asked when the tar has ended. Returns the SHA-256 of the
 * file system's bytes. Errors: `disk_invalid`, `program_failed`.
 */
export async function writeDisk(
  spawn: Spawn,
  tar: AsyncIterable<Uint8Array>,
  file: string,
  summary: () => TarSummary,
): Promise<{ readonly digest: string; readonly bytes: number }> {
  const work = await mkdtemp(join(dirname(file), '.disk-'));
  const shared = join(work, 'out');
  try {
    await chmod(work, 0o711); // the program's uid must come through; nobody else finds the name
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
    const made = join(shared, 'disk');
    await checkListing(spawn, bind, summary().entries);
    // A copy of our own: the program may no longer reach it.
    const own = join(work, 'disk');
    await copyFile(made, own);
    const { digest, bytes } = await digestOf(own);
    const handle = await open(own, 'r+');
    await handle.truncate(diskSize);
    await handle.sync();
    await handle.close();
    await chmod(own, 0o444);
    await rename(own, file);
    return { digest, bytes };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** sqfstar has been seen to end well with members missing: the finished disk must have as many as were written. */
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
  // One line is the root. A name may hold a newline: more lines than members are no loss.
  if (code !== 0 || lines - 1 < entries)
    throw diskInvalid(`${entries} members were written, ${lines - 1} are there`);
}

async function digestOf(file: string): Promise<{ digest: string; bytes: number }> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) {
    hash.update(chunk as Buffer);
    bytes += (chunk as Buffer).length;
  }
  return { digest: `sha256:${hash.digest('hex')}`, bytes };
}
