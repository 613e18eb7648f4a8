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
import type { Identity } from '@fumehood/base';
import { newSecret, secretHash } from '../auth/secret.ts';
import { syncNow } from '../durable.ts';
import { newKeyText } from '../secrets/key.ts';

/**
 * Makes a file with a new secret, which only its owner can read, unless the file exists. Returns the hash of the secret, which is
 * all that the instance learns of it. Owner null: the user of this process.
 */
export function ensureSecret(file: string, owner: Identity | null): string {
  ensureFile(file, owner, () => `${newSecret()}\n`);
  return secretHash(readFileSync(file, 'utf8').trim()).toString('hex');
}

/** Makes the file with the key of the instance's secrets, which only its owner can read, unless the file exists. */
export function ensureSecretsKey(file: string, owner: Identity | null): void {
  ensureFile(file, owner, newKeyText);
}

function ensureFile(file: string, owner: Identity | null, newText: () => string): void {
  if (existsSync(file)) return;
  writeAtomically(file, newText(), 0o600);
  if (owner) chownSync(file, owner.uid, owner.gid);
}

/** Writes a file atomically and durably: even after a power loss, it has the old content or the new one. */
export function writeAtomically(file: string, text: string, mode: number): void {
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
