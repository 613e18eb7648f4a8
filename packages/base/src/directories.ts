import { chmodSync, chownSync, mkdirSync } from 'node:fs';
import { chmod, mkdir } from 'node:fs/promises';
import type { Identity } from './identity.ts';

/** Makes a directory, or corrects the mode and owner of one that exists, and returns its path. Owner null: keeps the owner. */
export function ownedDirectory(path: string, mode: number, owner: Identity | null): string {
  mkdirSync(path, { recursive: true });
  if (owner) chownSync(path, owner.uid, owner.gid);
  chmodSync(path, mode);
  return path;
}

/**
 * Makes a directory that programs under the profile may write. Its group is that of this process, and of the programs too, so that
 * this process can read and remove what they write. It has no setgid bit: systemd's `RestrictSUIDSGID=` refuses that.
 */
export async function sharedDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true });
  await chmod(path, 0o770);
}
