import type { TarEntry } from '../entry.ts';
import { readTar, type TarLimits } from '../reader.ts';
import { tarEnd, tarHeader, tarPadding } from '../writer.ts';

export type Member = TarEntry & { readonly content: Buffer };

const plain = { type: 'file', mode: 0o644, uid: 0, gid: 0, mtime: 0 } as const;

/** Returns a member with defaults for everything that the test does not set. */
export function member(
  facts: Pick<TarEntry, 'path'> & Partial<TarEntry>,
  content: string | Buffer = '',
): Member {
  const bytes = Buffer.from(content);
  return { ...plain, size: bytes.length, ...facts, content: bytes };
}

/** Returns a complete archive from our writer. */
export function archive(members: readonly Member[]): Buffer {
  return Buffer.concat([...members.map(memberBytes), tarEnd()]);
}

function memberBytes(one: Member): Buffer {
  return Buffer.concat([tarHeader(one), one.content, tarPadding(one.content.length)]);
}

/** Yields the bytes in pieces of `size`. */
export async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** Reads an archive completely, including bodies. */
export async function readAll(stream: AsyncIterable<Uint8Array>, limits: TarLimits = {}): Promise<Member[]> {
  const members: Member[] = [];
  for await (const { body, bodyOffset: _offset, holes: _holes, ...entry } of readTar(stream, limits)) {
    const chunks: Buffer[] = [];
    for await (const chunk of body) chunks.push(Buffer.from(chunk));
    members.push({ ...entry, content: Buffer.concat(chunks) });
  }
  return members;
}

/** Returns a changed header with a valid checksum, as an attacker would make it. */
export function forged(header: Buffer, change: (header: Buffer) => void): Buffer {
  const copy = Buffer.from(header);
  change(copy);
  copy.fill(' ', 148, 156);
  const sum = copy.reduce((total, byte) => total + byte, 0);
  copy.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return copy;
}
