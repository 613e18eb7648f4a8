import { createHash } from 'node:crypto';

/** Returns the key by which a symbol is found in the database: two symbols with the same key cannot be found on purpose for another's symbol. */
export function symbolKey(symbol: string): Buffer {
  return createHash('sha256').update(symbol).digest().subarray(0, 16);
}
