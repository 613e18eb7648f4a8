import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type GuestRecipe, guestRecipe } from '@fumehood/microvm';

/** A text in init's sources, and the text that replaces it. */
export type Change = readonly [file: string, from: string, to: string];

/** Returns the recipe of the guest image with changes to init's sources. The text of each change must occur exactly once. */
export function changedGuest(directory: string, changes: readonly Change[]): GuestRecipe {
  const init = mkdtempSync(join(directory, 'init-'));
  cpSync(guestRecipe.init, init, { recursive: true });
  for (const [file, from, to] of changes) {
    const before = readFileSync(join(init, file), 'utf8');
    if (before.split(from).length !== 2) throw new Error(`${file} must contain this exactly once: ${from}`);
    writeFileSync(join(init, file), before.replace(from, to));
  }
  return { ...guestRecipe, init };
}
