import { hash } from 'node:crypto';

/** Returns the key by which a symbol is found in the database: two symbols with the same key cannot be found on purpose for another's symbol. */
export function symbolKey(symbol: string): Buffer {
  return hash('sha256', symbol, 'buffer').subarray(0, 16);
}
