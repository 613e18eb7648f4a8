import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { buildGuest } from './build.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'fumehood-named-kernel-'));
  writeFileSync(join(directory, 'init'), 'a built init');
});
afterEach(() => rmSync(directory, { recursive: true }));

function build(content: string) {
  const kernel = join(directory, 'vmlinux');
  writeFileSync(kernel, content);
  const recipe = { init: join(directory, 'init'), modules: [], kernel };
  return buildGuest({ directory: join(directory, 'guest'), onProgress: () => {}, recipe });
}

it('takes a named kernel in place of Debian’s, and builds another image when the kernel has changed', async () => {
  const first = await build('\x7fELF one');
  expect(readFileSync(first.kernel, 'latin1')).toBe('\x7fELF one');
  expect(readFileSync(first.initramfs, 'latin1')).toContain('a built init');
  const second = await build('\x7fELF two');
  expect(second.digest).not.toBe(first.digest);
  expect(await build('\x7fELF one')).toEqual(first);
});

it('refuses what is no uncompressed kernel, and says what to name', async () => {
  await expect(build('MZ, compressed')).rejects.toMatchObject({
    code: 'kernel_unusable',
    message: expect.stringContaining('it is no ELF file'),
    remedy: expect.stringContaining('FUMEHOOD_GUEST_KERNEL'),
  });
  rmSync(join(directory, 'vmlinux'));
  const recipe = { init: join(directory, 'init'), modules: [], kernel: join(directory, 'vmlinux') };
  await expect(buildGuest({ directory, onProgress: () => {}, recipe })).rejects.toThrow('ENOENT');
});
