import {
  chownSync,
  existsSync,
  openSync,
  readFileSync,
  renameSync,
  fsyncSync,
  writeSync,
  closeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { newSecret, secretHash } from '../auth/secret.ts';
import { syncNow } from '../durable.ts';

/**
 * The secret in a file that only its owner reads, made at the first start; its hash, which is all that the instance gets.
 * `owner`: who reads it, where that is not this process's user.
 */
export function keptSecret(file: string, owner: { uid: number; gid: number } | null): string {
  if (!existsSync(file)) {
    writeWhole(file, `${newSecret()}\n`, 0o600);
    if (owner) chownSync(file, owner.uid, owner.gid);
  }
  return secretHash(readFileSync(file, 'utf8').trim()).toString('hex');
}

/** Writes a file that is there whole or not at all, after a power loss too. */
export function writeWhole(file: string, text: string, mode: number): void {
  const staged = `${file}.new`;
  const descriptor = openSync(staged, 'w', mode);
  try {
    writeSync(descriptor, text);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(staged, file);
  syncNow(dirname(file));
}
