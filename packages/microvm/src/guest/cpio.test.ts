import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CpioEntry, cpio } from './cpio.ts';

interface Member {
  readonly path: string;
  readonly mode: number;
  readonly content: Buffer;
  readonly facts: readonly number[];
}

/** Reads an archive as the kernel does (init/initramfs.c): fields of eight hex digits, name and content padded to 4 bytes. */
function members(archive: Buffer): Member[] {
  const found: Member[] = [];
  for (let at = 0; ; ) {
    expect(at % 4).toBe(0);
    expect(archive.toString('latin1', at, at + 6)).toBe('070701');
    const header = archive.toString('latin1', at + 6, at + 110);
    expect(header).toMatch(/^[0-9a-f]{104}$/i);
    const [inode, mode, uid, gid, links, time, size, ...rest] = (header.match(/.{8}/g) ?? []).map((hex) =>
      Number.parseInt(hex, 16),
    ) as [number, number, number, number, number, number, number, ...number[]];
    const nameSize = rest[4] as number;
    const name = archive.subarray(at + 110, at + 110 + nameSize);
    expect(name.at(-1)).toBe(0);
    const start = Math.ceil((at + 110 + nameSize) / 4) * 4;
    const path = name.toString('utf8', 0, nameSize - 1);
    at = Math.ceil((start + size) / 4) * 4;
    if (path === 'TRAILER!!!') {
      expect(at).toBe(archive.length);
      return found;
    }
    const content = archive.subarray(start, start + size);
    found.push({ path, mode, content, facts: [inode, uid, gid, links, time] });
  }
}

describe('an initramfs archive', () => {
  it('holds files and directories as given, owned by root, with time 0', () => {
    const archive = cpio([
      { path: 'init', mode: 0o700, content: Buffer.from('#!') },
      { path: 'modules', mode: 0o755 },
      { path: 'modules/order', mode: 0o600, content: Buffer.alloc(0) },
    ]);
    expect(members(archive)).toEqual([
      { path: 'init', mode: 0o100700, content: Buffer.from('#!'), facts: [1, 0, 0, 1, 0] },
      { path: 'modules', mode: 0o040755, content: Buffer.alloc(0), facts: [2, 0, 0, 1, 0] },
      { path: 'modules/order', mode: 0o100600, content: Buffer.alloc(0), facts: [3, 0, 0, 1, 0] },
    ]);
  });

  it('without entries consists of its trailer', () => {
    expect(members(cpio([]))).toEqual([]);
  });

  it('can be read back for all lengths of names and contents', () => {
    const entry: fc.Arbitrary<CpioEntry> = fc.record(
      {
        path: fc.stringMatching(/^[a-zå/]{1,20}$/),
        mode: fc.nat(0o777),
        content: fc.uint8Array({ maxLength: 50 }),
      },
      { requiredKeys: ['path', 'mode'] },
    );
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 10 }), (entries) => {
        const read = members(cpio(entries)).map(({ path, mode, content }) => ({ path, mode, content }));
        expect(read).toEqual(
          entries.map(({ path, mode, content }) => ({
            path,
            mode: (content ? 0o100000 : 0o040000) | mode,
            content: Buffer.from(content ?? []),
          })),
        );
      }),
    );
  });

  it('has equal bytes for equal entries', () => {
    const entries = [{ path: 'a', mode: 0o755, content: Buffer.from('b') }];
    expect(cpio(entries)).toEqual(cpio(entries));
  });
});
