import { createHash, randomBytes } from 'node:crypto';

/** Returns a new token or credential: 20 random bytes as 40 hexadecimal digits. It is shown once; only its hash is stored. */
export function newSecret(): string {
  return randomBytes(20).toString('hex');
}

/**
 * Returns the hash that is stored and looked up in place of a secret. The time that an index takes to find a hash reveals
 * nothing about the secrets.
 */
export function secretHash(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}
