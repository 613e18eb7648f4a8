import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';

/**
 * Returns what tells this executor from any other one with the same name: a hash of the machine's boot, its name and the executor's
 * directory. It is the same after a restart of the executor.
 */
export async function machineOf(directory: string): Promise<string> {
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8');
  return createHash('sha256')
    .update(JSON.stringify([boot, hostname(), directory]))
    .digest('hex')
    .slice(0, 32);
}
