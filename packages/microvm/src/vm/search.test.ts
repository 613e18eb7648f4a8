import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { guestMappings, searchFile } from './search.ts';

const chunk = 4 * 2 ** 20;
const secret = Buffer.from('gbx_0123456789abcdef');
let directory: string;
let file: FileHandle;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fumehood-search-'));
  file = await open(join(directory, 'memory'), 'w+');
});
afterEach(async () => {
  await file.close();
  await rm(directory, { recursive: true });
});

/** Writes the bytes at each of these offsets; the rest stays a hole. */
async function put(bytes: Uint8Array, ...places: number[]): Promise<void> {
  for (const at of places) await file.write(bytes, 0, bytes.length, at);
}
const counts = async (...needles: Uint8Array[]) =>
  (
    await searchFile(
      file,
      needles.map((needle) => Buffer.from(needle)),
    )
  ).found;

describe('a needle', () => {
  it('is found at the start, at the end, and on both sides of a border between chunks', async () => {
    const size = 2 * chunk + 100;
    await put(secret, 0, chunk - secret.length, chunk, size - secret.length);
    expect(await searchFile(file, [secret])).toEqual({ searchedBytes: size, found: [4] });
  });

  it.each(Array.from({ length: secret.length + 1 }, (_, before) => before))(
    'is found once with %i of its bytes before a border',
    async (before) => {
      await put(secret, chunk - before);
      expect(await counts(secret)).toEqual([1]);
    },
  );

  it('is found in a sparse file, before and after chunks that were never written', async () => {
    await put(secret, 3 * chunk + 5, 6 * chunk - 3);
    await file.truncate(9 * chunk);
    expect(await searchFile(file, [secret])).toEqual({ searchedBytes: 9 * chunk, found: [2] });
  });

  it('that reaches into an otherwise blank chunk is found', async () => {
    await put(secret, chunk - 1, 2 * chunk - 1);
    await file.truncate(4 * chunk);
    expect(await counts(secret)).toEqual([2]);
  });

  it('is counted separately among longer and shorter ones', async () => {
    const others = [Buffer.from('!'), Buffer.from('longer than the others'), Buffer.from('absent')];
    await put(secret, 100, chunk - 10);
    await put(others[0] as Buffer, 7, chunk);
    await put(others[1] as Buffer, 2 * chunk - 21);
    // The shortest needle has overwritten the one at the border.
    expect(await counts(secret, ...others)).toEqual([1, 2, 1, 0]);
  });

  it('that begins with zeros is found when it begins in a blank chunk', async () => {
    await put(Buffer.of(7), 2 * chunk + 1);
    await file.truncate(3 * chunk);
    expect(await counts(Buffer.of(0, 0, 0, 7), Buffer.of(7, 0, 0))).toEqual([1, 1]);
  });

  it('is not found where it does not occur', async () => {
    await put(secret.subarray(0, -1), 0, chunk - 5);
    expect(await counts(secret)).toEqual([0]);
    await file.truncate(0);
    expect(await searchFile(file, [secret])).toEqual({ searchedBytes: 0, found: [0] });
  });

  it('without bytes is refused: it would match without end', async () => {
    await put(secret, 0);
    await expect(counts(secret, Buffer.alloc(0))).rejects.toMatchObject({ code: 'vm_refused' });
  });
});

describe('arbitrary needles in an arbitrary file', () => {
  it('are counted as often as they occur, also where they overlap', async () => {
    const bytes = (of: number[], min: number, max: number) =>
      fc.array(fc.constantFrom(...of), { minLength: min, maxLength: max }).map((all) => Buffer.from(all));
    await fc.assert(
      fc.asyncProperty(
        fc.array(bytes([1, 2], 1, 6), { minLength: 1, maxLength: 4 }),
        bytes([0, 1, 2], 0, 60),
        fc.nat(60),
        async (needles, content, before) => {
          await file.truncate(0);
          await put(content, chunk - before);
          const { size } = await file.stat();
          const whole = Buffer.alloc(size);
          await file.read(whole, 0, size, 0);
          expect(await counts(...needles)).toEqual(needles.map((needle) => occurrences(whole, needle)));
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe('the memory of a guest', () => {
  const mib = 2 ** 20;
  const file = (from: number, to: number) =>
    `${from.toString(16)}-${to.toString(16)} rw-p 00000000 00:01 7 /memfd:guest-memory (deleted)`;
  const unnamed = (from: number, to: number) =>
    `${from.toString(16)}-${to.toString(16)} rw-p 00000000 00:00 0 `;
  const others = [
    '55d0c0000000-55d0c0100000 r-xp 00000000 08:01 7 /usr/bin/vmm',
    '7f0000000000-7f0000100000 rw-s 00000000 00:01 9 /dev/zero (deleted)',
    '7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0 [stack]',
  ];
  const found = (...lines: string[]) => guestMappings([...others, ...lines, ''].join('\n'), 4 * mib);

  it('is the file of this name, in as many parts as it was mapped', () => {
    expect(found(file(mib, 5 * mib), unnamed(9 * mib, 20 * mib))).toEqual([{ from: mib, bytes: 4 * mib }]);
    const parts = [file(mib, 2 * mib), file(2 * mib, 3 * mib), file(8 * mib, 10 * mib)];
    expect(found(...parts)).toEqual([
      { from: mib, bytes: 2 * mib },
      { from: 8 * mib, bytes: 2 * mib },
    ]);
  });

  it('is among the memory without a name of a VMM that makes it by itself', () => {
    expect(found(unnamed(mib, 2 * mib), unnamed(8 * mib, 12 * mib))).toEqual([
      { from: mib, bytes: mib },
      { from: 8 * mib, bytes: 4 * mib },
    ]);
  });

  it.each([
    ['nothing', []],
    ['a part of the file', [file(mib, 4 * mib), unnamed(8 * mib, 20 * mib)]],
    ['the file twice', [file(mib, 5 * mib), file(8 * mib, 12 * mib)]],
    ['less memory than the guest has', [unnamed(mib, 4 * mib)]],
  ])('is not taken for found when the VMM maps %s', (_, lines) => {
    expect(() => found(...lines)).toThrow('does not map its memory');
  });
});

function occurrences(whole: Buffer, needle: Buffer): number {
  let count = 0;
  for (let at = whole.indexOf(needle); at >= 0; at = whole.indexOf(needle, at + 1)) count++;
  return count;
}
