import { rm } from 'node:fs/promises';
import { stillRunning } from '../errors.ts';
import type { State } from '../state/state.ts';
import { formatBytes } from '../state/usage.ts';
import { findRunning } from '../up/running.ts';
import { type Part, partsOf } from './parts.ts';

/** Removes what can be built or downloaded again, or with `all` everything. Returns what was removed. Errors: `still_running`. */
export async function clean(state: State, all: boolean): Promise<readonly Part[]> {
  const { instance, executor } = findRunning(state);
  if (instance || executor) throw stillRunning(state.root);
  const parts = (await partsOf(state)).filter((part) => all || part.rebuildable);
  for (const part of parts) await rm(part.path, { recursive: true, force: true });
  if (all) await rm(state.root, { recursive: true, force: true });
  return parts.filter((part) => part.bytes > 0);
}

/** Lays out what was removed. */
export function cleanLines(removed: readonly Part[]): string[] {
  if (removed.length === 0) return ['there was nothing to remove'];
  return removed.map((part) => `${formatBytes(part.bytes).padStart(10)}  ${part.name}: removed`);
}
