import { describe, expect, it } from 'vitest';
import { archive, forged, inPieces, member, readAll } from './testing/archive.ts';
import { tarEnd, tarHeader, tarPadding } from './writer.ts';

const stored = Buffer.from('stored');
const plain = tarHeader(member({ path: 'f', size: stored.length }));
const body = Buffer.concat([stored, tarPadding(stored.length), tarEnd()]);
const after = archive([member({ path: 'g' })]);

/** Returns an archive with a sparse member in the format 0.1, and a plain member after it. */
function sparse(map: string, size: number | string): Buffer {
  const records = { 'GNU.sparse.size': String(size), 'GNU.sparse.map': map, 'GNU.sparse.name': 'big' };
  const text = Object.entries(records).map(([key, value]) => {
    const length = key.length + value.length + 3;
    return `${length + String(length + 2).length} ${key}=${value}\n`;
  });
  const joined = Buffer.from(text.join(''));
  const pax = forged(tarHeader(member({ path: 'pax', size: joined.length })), (copy) => copy.write('x', 156));
  return Buffer.concat([pax, joined, tarPadding(joined.length), plain, body.subarray(0, 512), after]);
}
const read = (bytes: Buffer) => readAll(inPieces(bytes, 700));

describe('the map of a sparse file', () => {
  it('says where its pieces are in the file', async () => {
    const [big, next] = await read(sparse('2,3,10,3', 16));
    expect(big).toMatchObject({ path: 'big', size: 16 });
    expect(big?.content.toString('latin1')).toBe('\0\0sto\0\0\0\0\0red\0\0\0');
    expect(next).toMatchObject({ path: 'g' });
  });

  it.each([
    ['has overlapping pieces', '0,4,3,2', 16],
    ['has pieces in the wrong order', '10,3,2,3', 16],
    ['has a piece beyond the end', '0,3,14,3', 16],
    ['has more bytes than are stored', '0,6,7,2', 16],
    ['has fewer bytes than are stored', '0,3', 16],
    ['has an offset without a length', '0,6,8', 16],
    ['has a negative number', '-1,6', 16],
    ['has a fraction', '0.5,6', 16],
    ['has a number that is not exact', '9007199254740993,6', 16],
    ['is for a file without a size', '0,6', 'x'],
  ])('is refused when it %s', async (_what, map, size) => {
    await expect(read(sparse(map, size))).rejects.toMatchObject({
      code: 'tar_invalid',
      message: expect.stringContaining('"big"') as string,
    });
  });

  it('counts with the whole size of the file', async () => {
    await expect(read(sparse('0,6', 2 ** 50))).rejects.toMatchObject({ code: 'tar_too_big' });
  });

  it('is bounded, wherever it is', async () => {
    const old = forged(plain, (copy) => {
      copy.write('S', 156);
      copy.write('00000000020\0', 483);
      copy.write('\x01', 482);
    });
    const block = Buffer.alloc(512).fill(1, 504, 505);
    const endless = async function* () {
      yield old;
      for (;;) yield block;
    };
    await expect(readAll(endless())).rejects.toMatchObject({ code: 'tar_too_big' });
    const lines = tarHeader(member({ path: 'f', size: 2 ** 32 }));
    const records = '22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n25 GNU.sparse.realsize=9\n';
    const pax = forged(tarHeader(member({ path: 'pax', size: records.length })), (copy) =>
      copy.write('x', 156),
    );
    const body1 = async function* () {
      yield Buffer.concat([pax, Buffer.from(records), tarPadding(records.length), lines]);
      yield Buffer.from('9999999\n'.padEnd(512, '0\n'));
      for (;;) yield Buffer.alloc(512, '0\n');
    };
    await expect(readAll(body1())).rejects.toMatchObject({ code: 'tar_too_big' });
  });
});
