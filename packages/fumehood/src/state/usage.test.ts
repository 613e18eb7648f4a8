import { link, mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { allocatedBytes, formatBytes } from './usage.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fumehood-usage-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

describe('the size of a directory', () => {
  it('is the size of everything below it', async () => {
    await mkdir(join(root, 'a/b'), { recursive: true });
    const before = await allocatedBytes(join(root, 'a'));
    await writeFile(join(root, 'a/b/file'), Buffer.alloc(1 << 20, 1));
    const grown = (await allocatedBytes(join(root, 'a'))) - before;
    expect(grown).toBeGreaterThanOrEqual(1 << 20);
    expect(grown).toBeLessThan(1.2 * (1 << 20));
  });

  it('excludes holes in files and the targets of symbolic links', async () => {
    const sparse = join(root, 'sparse');
    await mkdir(sparse);
    await writeFile(join(sparse, 'disk'), 'x');
    await truncate(join(sparse, 'disk'), 64 * 2 ** 30);
    await symlink('/usr', join(sparse, 'link'));
    expect(await allocatedBytes(sparse)).toBeLessThan(1 << 20);
  });

  it('counts a file with several hard links once', async () => {
    const linked = join(root, 'linked');
    await mkdir(linked);
    await writeFile(join(linked, 'one'), Buffer.alloc(1 << 20, 1));
    await link(join(linked, 'one'), join(linked, 'two'));
    expect(await allocatedBytes(linked)).toBeLessThan(1.5 * (1 << 20));
  });

  it('is 0 if the directory does not exist', async () => {
    expect(await allocatedBytes(join(root, 'nothing'))).toBe(0);
  });
});

it.each([
  [0, '0 B'],
  [1, '1 B'],
  [1023, '1023 B'],
  [1024, '1.0 KiB'],
  [1536 * 2 ** 20, '1.5 GiB'],
  [2 ** 40, '1.0 TiB'],
  [2 ** 52, '4096.0 TiB'],
])('formats %d bytes as %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});
