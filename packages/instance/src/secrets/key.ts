import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { secretsKeyUnusable } from './errors.ts';

/** Returns the text of a new key file: 32 random bytes as 64 hexadecimal digits. */
export function newKeyText(): string {
  return `${randomBytes(32).toString('hex')}\n`;
}

/** Reads the key of the instance's secrets, 32 bytes. Errors: `secrets_key_unusable`. */
export async function readSecretsKey(file: string): Promise<Buffer> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw secretsKeyUnusable(file, (error as Error).message);
  });
  if (!/^[0-9a-f]{64}\n?$/i.test(text)) throw secretsKeyUnusable(file, 'it is not 64 hexadecimal digits');
  return Buffer.from(text.trim(), 'hex');
}
