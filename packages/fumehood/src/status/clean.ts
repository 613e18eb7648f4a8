import { existsSync, readdirSync } from 'node:fs';
import { rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@fumehood/base';
import { stateForeign, stateIsHere, stillRunning } from '../errors.ts';
import { lockState } from '../state/lock.ts';
import { isMarked, markerName } from '../state/marker.ts';
import type { State } from '../state/state.ts';
import { formatBytes } from '../state/usage.ts';
import { findRunning } from '../up/running.ts';
import { type Part, partsOf } from './parts.ts';

interface CleanDeps {
  readonly state: State;
  readonly clock: Clock;
  readonly onProgress: (line: string) => void;
}

/**
 * Removes what can be built or downloaded again, or with `all` everything that Fumehood made, after it has named the directory.
 * Returns what was removed. Files of other programs stay, and so does the directory if there are any.
 * Errors: `state_foreign`, `still_running`, `state_busy`, and `usage` if the working directory would be removed.
 */
export async function clean(deps: CleanDeps, all: boolean): Promise<readonly Part[]> {
  const { state, onProgress } = deps;
  if (!existsSync(state.root)) return [];
  if (!isMarked(state)) throw stateForeign(state.root);
  if (all && `${process.cwd()}/`.startsWith(`${state.root}/`)) throw stateIsHere(state.root);
  const unlock = await lockState(deps);
  try {
    const { instance, executor } = findRunning(state);
    if (instance || executor) throw stillRunning(state.root);
    onProgress(`removing ${all ? 'the state directory' : 'what can be built again in'} ${state.root}`);
    const parts = (await partsOf(state)).filter((part) => all || part.rebuildable);
    for (const { path } of parts) await rm(path, { recursive: true, force: true });
    if (all) await removeRest(deps);
    return parts.filter((part) => part.bytes > 0);
  } finally {
    unlock();
  }
}

/** Removes the state directory without its parts. The marker goes last: until then, `clean --all` can be repeated. */
async function removeRest({ state, onProgress }: CleanDeps): Promise<void> {
  for (const name of ['executor', 'settings.json', 'lock', markerName])
    await rm(join(state.root, name), { recursive: true, force: true });
  const left = readdirSync(state.root);
  if (left.length > 0)
    onProgress(`${state.root} stays: it holds files of others (${left.slice(0, 5).join(', ')})`);
  // A mount point cannot be removed, and needs not be.
  else
    await rmdir(state.root).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EBUSY') throw error;
    });
}

/** Lays out what was removed. */
export function cleanLines(removed: readonly Part[]): string[] {
  if (removed.length === 0) return ['there was nothing to remove'];
  return removed.map((part) => `${formatBytes(part.bytes).padStart(10)}  ${part.name}: removed`);
}
