import { readFileSync, readlinkSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@fumehood/base';
import { databaseInUse } from '../../errors.ts';

interface Postmaster {
  readonly pid: number;
  /** It was told to end, and does: what it has in memory is written out first, which may take a while. */
  readonly stopping: boolean;
}

/** The live PostgreSQL that works on this directory. */
function livePostmaster(dataDirectory: string): Postmaster | null {
  try {
    const lines = readFileSync(join(dataDirectory, 'postmaster.pid'), 'utf8').split('\n');
    const pid = Number(lines[0]);
    // PostgreSQL's working directory is its data: a pid that was given to another program since is not it.
    if (!(pid > 1) || readlinkSync(`/proc/${pid}/cwd`) !== dataDirectory) return null;
    return { pid, stopping: lines[7]?.trim() === 'stopping' }; // PostgreSQL's pidfile.h: the line of its status
  } catch {
    return null;
  }
}

/** For one whose parent just died to be told, and for one that is stopping to end. */
const patienceMs = { told: 5_000, stopping: 60_000 };

/**
 * Makes sure that no PostgreSQL works on the directory: one whose parent just died gets time to end, another run's is refused by
 * name, and a file that a crash left is removed. Errors: `database_in_use`.
 */
export async function ensureFree(dataDirectory: string, clock: Clock): Promise<void> {
  const start = clock.bootTime();
  for (let found = livePostmaster(dataDirectory); found; found = livePostmaster(dataDirectory)) {
    if (clock.bootTime() - start > (found.stopping ? patienceMs.stopping : patienceMs.told))
      throw databaseInUse(dataDirectory, found.pid);
    await clock.sleep(100);
  }
  await rm(join(dataDirectory, 'postmaster.pid'), { force: true });
}
