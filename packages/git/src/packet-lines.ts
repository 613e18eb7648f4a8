import { FumehoodError } from '@fumehood/base';
import { gitProtocol } from './errors.ts';

/** A packet line of git: four hexadecimal digits with the length of the whole line, then data. Lengths 0 to 2 are markers. */
export type Packet =
  | { readonly type: 'data'; readonly bytes: Buffer }
  | { readonly type: 'flush' | 'delimiter' | 'end' };

/** Bytes of the longest packet line that git sends. */
const packetMax = 65_520;

/** Returns the packet line with this text. */
export function packetLine(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from((bytes.length + 4).toString(16).padStart(4, '0')), bytes]);
}
export const flushPacket = Buffer.from('0000');
export const delimiterPacket = Buffer.from('0001');

/** Splits a stream into packets, one at a time. Errors: `git_protocol`. */
export async function* readPackets(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Packet> {
  let held: Buffer = Buffer.alloc(0);
  for await (const chunk of stream) {
    held = held.length === 0 ? Buffer.from(chunk) : Buffer.concat([held, chunk]);
    let at = 0;
    while (held.length - at >= 4) {
      const size = sizeOf(held.toString('latin1', at, at + 4));
      if (size < 4) {
        at += 4;
        yield { type: (['flush', 'delimiter', 'end'] as const)[size] as 'flush' };
        continue;
      }
      if (held.length - at < size) break;
      yield { type: 'data', bytes: held.subarray(at + 4, at + size) };
      at += size;
    }
    held = held.subarray(at);
  }
  if (held.length > 0) throw gitProtocol('it ends in the middle of a packet');
}

function sizeOf(digits: string): number {
  const size = /^[0-9a-fA-F]{4}$/.test(digits) ? Number.parseInt(digits, 16) : -1;
  if (size < 0 || size === 3 || size > packetMax) throw gitProtocol('a packet has an invalid length');
  return size;
}

/**
 * Yields the bytes of the pack that a git server sends: band 1 has the pack, band 2 progress, band 3 an error. Errors: `too_big`,
 * `git_protocol`, and what `failed` makes of the server's error.
 */
export async function* packBytes(
  packets: AsyncIterable<Packet>,
  failed: (why: string) => FumehoodError,
  maxBytes: number,
): AsyncGenerator<Buffer> {
  let size = 0;
  for await (const packet of packets) {
    if (packet.type !== 'data') return;
    const [band] = packet.bytes;
    if (band === 3) throw failed(packet.bytes.toString('utf8', 1, 300));
    if (band !== 1) continue;
    size += packet.bytes.length - 1;
    if (size > maxBytes)
      throw new FumehoodError({ code: 'too_big', message: `the pack has more than ${maxBytes} bytes` });
    yield packet.bytes.subarray(1);
  }
  throw gitProtocol('the pack is cut off');
}
