import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type GuestRecipe, guestRecipe } from '@fumehood/microvm';

/** A place in init's sources, and what is to stand there. */
export type Change = readonly [file: string, from: string, to: string];

/** The guest image that ships, save the changes, each to be found in exactly one place, and with modules more. */
export function changedGuest(
  directory: string,
  changes: readonly Change[],
  modules: readonly string[] = [],
): GuestRecipe {
  const init = mkdtempSync(join(directory, 'init-'));
  cpSync(guestRecipe.init, init, { recursive: true });
  for (const [file, from, to] of changes) {
    const before = readFileSync(join(init, file), 'utf8');
    if (before.split(from).length !== 2) throw new Error(`${file} does not have this once: ${from}`);
    writeFileSync(join(init, file), before.replace(from, to));
  }
  return { init, modules: [...guestRecipe.modules, ...modules] };
}
