import { createHash, randomBytes } from 'node:crypto';

/** 20 random bytes as 40 hexadecimal digits: a token or a credential. Whoever needs it gets it once; we keep its hash. */
export function newSecret(): string {
  return randomBytes(20).toString('hex');
}

/** What is stored and looked up in place of a secret: finding a hash in an index says nothing about other secrets. */
export function secretHash(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}
