import { readFileSync, readlinkSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@glovebox/base';
import { databaseInUse } from '../../errors.ts';

/** The pid of a live PostgreSQL that works on this directory. */
function livePostmaster(dataDirectory: string): number | null {
  try {
    const pid = Number(readFileSync(join(dataDirectory, 'postmaster.pid'), 'utf8').split('\n', 1)[0]);
    // PostgreSQL's working directory is its data: a pid that was given to another program since is not it.
    return pid > 1 && readlinkSync(`/proc/${pid}/cwd`) === dataDirectory ? pid : null;
  } catch {
    return null;
  }
}

/**
 * Makes sure that no PostgreSQL works on the directory: one whose parent just died gets `patienceMs` to end, another run's is
 * refused by name, and a file that a crash left is removed. Errors: `database_in_use`.
 */
export async function ensureFree(dataDirectory: string, clock: Clock, patienceMs = 5_000): Promise<void> {
  for (let waited = 0; waited < patienceMs && livePostmaster(dataDirectory) !== null; waited += 100)
    await clock.sleep(100);
  const pid = livePostmaster(dataDirectory);
  if (pid !== null) throw databaseInUse(dataDirectory, pid);
  await rm(join(dataDirectory, 'postmaster.pid'), { force: true });
}
