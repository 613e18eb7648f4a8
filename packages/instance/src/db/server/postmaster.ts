import { readFileSync, readlinkSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@fumehood/base';
import { databaseInUse } from '../../start-errors.ts';

/** A running PostgreSQL server. */
interface Postmaster {
  readonly pid: number;
  /** It is shutting down: it writes its memory to disk first, which may take a while. */
  readonly stopping: boolean;
}

/** Returns the running PostgreSQL that uses this data directory, or null. */
function findPostmaster(dataDirectory: string): Postmaster | null {
  try {
    const lines = readFileSync(join(dataDirectory, 'postmaster.pid'), 'utf8').split('\n');
    const pid = Number(lines[0]);
    // PostgreSQL works in its data directory. A process that works elsewhere has got the pid since.
    if (!(pid > 1) || readlinkSync(`/proc/${pid}/cwd`) !== dataDirectory) return null;
    return { pid, stopping: lines[7]?.trim() === 'stopping' }; // the status line, see PostgreSQL's pidfile.h
  } catch {
    return null;
  }
}

/** How long to wait for a server whose parent may just have died, and for one that is shutting down; milliseconds. */
const patienceMs = { running: 5_000, stopping: 60_000 };

/**
 * Makes sure that no PostgreSQL uses the data directory. Waits for a server whose parent just died, and removes the pid file
 * that a crash left. Errors: `database_in_use` for the server of another run.
 */
export async function ensureFree(dataDirectory: string, clock: Clock): Promise<void> {
  const start = clock.bootTime();
  for (let found = findPostmaster(dataDirectory); found; found = findPostmaster(dataDirectory)) {
    if (clock.bootTime() - start > (found.stopping ? patienceMs.stopping : patienceMs.running))
      throw databaseInUse(dataDirectory, found.pid);
    await clock.sleep(100);
  }
  await rm(join(dataDirectory, 'postmaster.pid'), { force: true });
}
