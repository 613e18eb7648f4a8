import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { secretDamaged, secretOfOtherKey } from './errors.ts';

/** Encrypts the values that the instance has to show again, such as passwords, before they are stored. */
export interface Vault {
  /** What every text begins with that this vault has sealed: the format and the id of the key. */
  readonly head: Buffer;
  /** Encrypts a text. `row` identifies the row that it is stored in, and what the row says of it. */
  seal(text: string, row: readonly unknown[]): Buffer;
  /**
   * Returns the text that was sealed for the same `row`. `what` names the value, for errors. Errors: `secret_of_other_key`,
   * `secret_damaged`.
   */
  open(sealed: Uint8Array, row: readonly unknown[], what: string): string;
}

/** AES-256-GCM. A sealed text is: format (1 byte), key id, nonce, tag, ciphertext. */
const cipher = 'aes-256-gcm';
const format = 1;
const keyIdBytes = 8;
const nonceBytes = 12;
const tagBytes = 16;
const headBytes = 1 + keyIdBytes;
const textAt = headBytes + nonceBytes + tagBytes;

/** Opens the vault of a key of 32 bytes. */
export function openVault(key: Buffer): Vault {
  const keyId = createHash('sha256').update('fumehood secrets key id').update(key).digest();
  const head = Buffer.concat([Buffer.from([format]), keyId.subarray(0, keyIdBytes)]);
  return {
    head,
    seal(text, row) {
      const nonce = randomBytes(nonceBytes);
      const sealing = createCipheriv(cipher, key, nonce).setAAD(additionalData(head, row));
      const encrypted = Buffer.concat([sealing.update(text, 'utf8'), sealing.final()]);
      return Buffer.concat([head, nonce, sealing.getAuthTag(), encrypted]);
    },
    open(bytes, row, what) {
      const sealed = Buffer.from(bytes);
      if (sealed.length < textAt || sealed[0] !== format) throw secretDamaged(what);
      const found = sealed.subarray(0, headBytes);
      if (!found.equals(head)) throw secretOfOtherKey(what, shownId(found), shownId(head));
      const nonce = sealed.subarray(headBytes, headBytes + nonceBytes);
      const tag = sealed.subarray(headBytes + nonceBytes, textAt);
      const opening = createDecipheriv(cipher, key, nonce, { authTagLength: tagBytes })
        .setAAD(additionalData(head, row))
        .setAuthTag(tag);
      try {
        return Buffer.concat([opening.update(sealed.subarray(textAt)), opening.final()]).toString('utf8');
      } catch {
        throw secretDamaged(what);
      }
    },
  };
}

/** JSON tells rows apart whose values only look the same when they are joined. */
function additionalData(head: Buffer, row: readonly unknown[]): Buffer {
  return Buffer.concat([head, Buffer.from(JSON.stringify(row))]);
}

function shownId(head: Buffer): string {
  return head.subarray(1).toString('hex');
}
