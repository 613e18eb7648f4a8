import { createHash } from 'node:crypto';
import { deflateSync } from 'node:zlib';

const tree = { type: 'tree', code: 2, bytes: Buffer.alloc(0) } as const;
const idOf = ({ type, bytes }: { readonly type: string; readonly bytes: Buffer }) =>
  createHash('sha1').update(`${type} ${bytes.length}\0`).update(bytes).digest('hex');
const commit = {
  type: 'commit',
  code: 1,
  bytes: Buffer.from(
    `tree ${idOf(tree)}\nauthor Fumehood <> 0 +0000\ncommitter Fumehood <> 0 +0000\n\nAn empty workspace\n`,
  ),
} as const;

/** The commit of jobs that begin with an empty workspace. */
export const emptyCommit = idOf(commit);

/** Returns a pack (git's format, version 2) with the empty commit and its tree. */
export function packOfEmptyCommit(): Buffer {
  const header = Buffer.from('PACK\0\0\0\u0002\0\0\0\u0002', 'latin1');
  const objects = [commit, tree].flatMap(({ code, bytes }) => {
    const [low, high] = [bytes.length & 0xf, bytes.length >> 4];
    const size = high === 0 ? [(code << 4) | low] : [0x80 | (code << 4) | low, high];
    return [Buffer.from(size), deflateSync(bytes)];
  });
  const body = Buffer.concat([header, ...objects]);
  return Buffer.concat([body, createHash('sha1').update(body).digest()]);
}
