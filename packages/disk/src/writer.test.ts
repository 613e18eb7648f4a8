import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TarEntry, TarType } from './entry.ts';
import { archive, inPieces, member, readAll } from './testing/archive.ts';
import { timeMax } from './limits.ts';
import { tarHeader } from './writer.ts';

const byte = fc.integer({ min: 1, max: 255 }).map((code) => String.fromCharCode(code));
const bytes = (maxLength: number) =>
  fc.array(byte, { minLength: 1, maxLength }).map((parts) => parts.join(''));
/** Lengths around those that no longer fit into a header. */
const path = fc
  .oneof(
    bytes(20),
    bytes(400),
    fc.integer({ min: 95, max: 105 }).map((length) => 'p'.repeat(length)),
  )
  .filter((text) => !text.endsWith('/'));
const id = fc.oneof(fc.nat(70_000), fc.constantFrom(0o7777777, 0o7777777 + 1, 2 ** 31, 2 ** 32 - 1));
const common = {
  path,
  mode: fc.nat(0o7777),
  uid: id,
  gid: id,
  mtime: fc.nat(timeMax),
  xattrs: fc.dictionary(fc.stringMatching(/^user\.[a-z]{1,9}$/), bytes(150), { maxKeys: 3 }),
};
const linkTypes = fc.constantFrom<TarType>('symlink', 'hardlink');
const bareTypes = fc.constantFrom<TarType>('directory', 'fifo');
const deviceTypes = fc.constantFrom<TarType>('character', 'block');
const number = fc.nat(0o7777777);
const members = fc.oneof(
  fc.record({ ...common, content: fc.uint8Array({ maxLength: 1_600 }) }),
  fc.record({ ...common, type: linkTypes, linkTarget: path }),
  fc.record({ ...common, type: bareTypes }),
  fc.record({ ...common, type: deviceTypes, device: fc.tuple(number, number) }),
);

describe('a written archive', () => {
  it('is read back unchanged, for all members and any split of the stream', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(members, { maxLength: 8 }),
        fc.integer({ min: 1, max: 3_000 }),
        async (facts, size) => {
          const all = facts.map(({ xattrs, ...one }) =>
            member(
              { ...one, ...(Object.keys(xattrs).length > 0 && { xattrs }) },
              'content' in one ? Buffer.from(one.content) : '',
            ),
          );
          expect(await readAll(inPieces(archive(all), size))).toEqual(all);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('has a pax record for a size that does not fit into a header', () => {
    const size = 2 ** 40 + 1;
    expect(tarHeader(member({ path: 'big', size })).toString('latin1')).toContain(`size=${size}\n`);
  });

  it('has pax records with the right length, also where the length gains a digit', async () => {
    for (let length = 80; length < 1_010; length++) {
      const one = member({ path: 'p'.repeat(length) });
      expect(await readAll(inPieces(archive([one]), 4_096))).toEqual([one]);
    }
  });

  it('has no time before 1970, or after the last one that a disk can hold', async () => {
    const times = [-5, 1.9, 2 ** 40].map((mtime) => member({ path: 'f', mtime }));
    const read = await readAll(inPieces(archive(times), 512));
    expect(read.map(({ mtime }: TarEntry) => mtime)).toEqual([0, 1, timeMax]);
  });
});
