import { constants, inflateSync } from 'node:zlib';
import { diffInvalid } from './errors.ts';
import type { Lines } from './lines.ts';

/** Bytes of a packed delta in which its header has to be. */
const headerMax = 1_024;
const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~';
const values = new Map([...Buffer.from(alphabet).entries()].map(([value, char]) => [char, value]));

/**
 * Reads one of the two halves of a binary patch. Returns the bytes of memory that git takes when it unpacks the half: what the half
 * says of its size, and for a delta also the size of the file that it makes, which is inside of the packed bytes. Errors:
 * `diff_invalid`.
 */
export function readBinaryHalf(lines: Lines, path: string): number {
  const refused = () => diffInvalid('its binary patch is malformed', path);
  const head = /^(literal|delta) (0|[1-9]\d{0,14})$/.exec(lines.take());
  if (!head) throw refused();
  const isDelta = head[1] === 'delta';
  const packed: Buffer[] = [];
  let size = 0;
  for (;;) {
    const line = lines.takeBytes();
    if (line.length === 0) break;
    const length = lengthOf(line[0] ?? 0);
    if (length === 0 || line.length !== 1 + Math.ceil(length / 4) * 5) throw refused();
    if (!isDelta || size >= headerMax) continue;
    const bytes = decode(line.subarray(1), length);
    if (bytes === null) throw refused();
    packed.push(bytes);
    size += length;
  }
  const declared = Number(head[2]);
  if (!isDelta) return declared;
  const made = targetOf(Buffer.concat(packed));
  if (made === null) throw refused();
  return declared + made;
}

/** A letter says how many bytes a line has: A is 1, z is 52. */
function lengthOf(letter: number): number {
  if (letter >= 65 && letter <= 90) return letter - 64;
  return letter >= 97 && letter <= 122 ? letter - 70 : 0;
}

/** Decodes git's base 85: five characters for four bytes. Null: it is none. */
function decode(text: Buffer, length: number): Buffer | null {
  const bytes = Buffer.alloc((text.length / 5) * 4);
  for (let at = 0; at < text.length; at += 5) {
    let value = 0;
    for (const char of text.subarray(at, at + 5)) {
      const digit = values.get(char);
      if (digit === undefined) return null;
      value = value * 85 + digit;
    }
    if (value > 0xffff_ffff) return null;
    bytes.writeUInt32BE(value, (at / 5) * 4);
  }
  return bytes.subarray(0, length);
}

/** Returns the size of the file that a packed delta makes; null if that is not in its beginning. */
function targetOf(packed: Buffer): number | null {
  let delta: Buffer;
  try {
    delta = inflateSync(packed.subarray(0, headerMax), { finishFlush: constants.Z_SYNC_FLUSH });
  } catch {
    return null;
  }
  let at = 0;
  const size = () => {
    let value = 0;
    for (let factor = 1; factor < 2 ** 49; factor *= 128) {
      const byte = delta[at++];
      if (byte === undefined) return null;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
    return null;
  };
  return size() === null ? null : size();
}
