import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
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

/**
 * Returns a process of a server that was killed and has left it behind, or null. A new server would refuse to start: such processes end
 * by themselves soon, but until then they use the memory that they shared.
 */
function findOrphan(dataDirectory: string): Postmaster | null {
  const isOrphan = (pid: string) => {
    try {
      const name = readFileSync(`/proc/${pid}/comm`, 'latin1').trim();
      return name === 'postgres' && readlinkSync(`/proc/${pid}/cwd`) === dataDirectory;
    } catch {
      return false;
    }
  };
  const pid = readdirSync('/proc').find((name) => /^\d+$/.test(name) && isOrphan(name));
  return pid === undefined ? null : { pid: Number(pid), stopping: false };
}

/** How long to wait for a server whose parent may just have died, and for one that is shutting down; milliseconds. */
const patienceMs = { running: 5_000, stopping: 60_000 };

/**
 * Makes sure that no PostgreSQL uses the data directory. Waits for a server whose parent just died and for what a killed server left,
 * and removes the pid file that a crash left. Errors: `database_in_use` for the server of another run.
 */
export async function ensureFree(dataDirectory: string, clock: Clock): Promise<void> {
  const start = clock.bootTime();
  const find = () => findPostmaster(dataDirectory) ?? findOrphan(dataDirectory);
  for (let found = find(); found; found = find()) {
    if (clock.bootTime() - start > (found.stopping ? patienceMs.stopping : patienceMs.running))
      throw databaseInUse(dataDirectory, found.pid);
    await clock.sleep(100);
  }
  await rm(join(dataDirectory, 'postmaster.pid'), { force: true });
}
