import { chmodSync, chownSync, mkdirSync } from 'node:fs';
import { chmod, mkdir } from 'node:fs/promises';
import type { Identity } from './identity.ts';

/** Makes a directory, or corrects the mode and owner of one that exists, and returns its path. Owner null: as it is. */
export function ownedDirectory(path: string, mode: number, owner: Identity | null): string {
  mkdirSync(path, { recursive: true });
  if (owner) chownSync(path, owner.uid, owner.gid);
  chmodSync(path, mode);
  return path;
}

/**
 * Makes a directory that programs under the profile may write: its group is the caller's, which they have too, so that the
 * caller can read and remove what they make.
 */
export async function sharedDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true });
  await chmod(path, 0o2770);
}
