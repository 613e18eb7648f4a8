import { closeSync, constants, lstatSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { stateForeign } from '../errors.ts';
import type { State } from './state.ts';

/** The file that makes a directory a state directory. Without it, a mistaken path would have files of other programs removed. */
export const markerName = 'fumehood-state';
const text = 'This directory belongs to Fumehood, which changes and removes what is in it.\n';
/**
 * What may be in a state directory before Fumehood is: the settings of its admin, what mkfs makes on a disk of its own, and the lock of
 * a command that waited for `clean --all`.
 */
const precedes = ['settings.json', 'lost+found', 'lock', markerName];

/** Whether Fumehood made this directory. */
export function isMarked({ root }: Pick<State, 'root'>): boolean {
  const file = join(root, markerName);
  return lstatSync(file, { throwIfNoEntry: false })?.isFile() === true && readFileSync(file, 'utf8') === text;
}

/** Marks a new directory as a state directory, unless it is marked. Errors: `state_foreign` if it holds something else. */
export function markState(state: Pick<State, 'root'>): void {
  // Whoever marks the directory at the same time writes other files only after the marker.
  const isNew = readdirSync(state.root).every((name) => precedes.includes(name));
  if (isMarked(state)) return;
  if (!isNew) throw stateForeign(state.root);
  const { O_CREAT, O_NOFOLLOW, O_WRONLY } = constants;
  const file = openSync(join(state.root, markerName), O_WRONLY | O_CREAT | O_NOFOLLOW, 0o644);
  writeSync(file, text);
  closeSync(file);
}
