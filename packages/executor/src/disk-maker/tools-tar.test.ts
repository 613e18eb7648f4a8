import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { collect } from '@fumehood/base';
import { spawnInside } from '@fumehood/disk';
import { expect, test } from 'vitest';
import { librariesIn, toolsTar } from './tools-tar.ts';

test('the tools work without any other file of this machine than those that are with them', async () => {
  const tar = await toolsTar(spawnInside);
  const bytes = await collect(tar.bytes, 64 * 2 ** 20);
  const directory = mkdtempSync(join(tmpdir(), 'tools-'));
  try {
    execFileSync('tar', ['-xf', '-', '-C', directory], { input: bytes });
    const names = execFileSync('tar', ['-tf', '-'], { input: bytes }).toString().trim().split('\n');
    expect(names).toHaveLength(tar.entries());
    expect(names).toEqual(expect.arrayContaining(['tools/git', 'tools/dd', 'tools/bin/git']));
    const loader = names.find((name) => /ld-linux[^/]*$/.test(name)) as string;
    const used = execFileSync(
      join(directory, loader),
      ['--library-path', join(directory, 'tools/lib'), '--list', join(directory, 'tools/git')],
      { encoding: 'utf8' },
    );
    const libraries = [...used.matchAll(/ => (\S+)/g)].map(([, path]) => path);
    expect(libraries.length).toBeGreaterThan(1);
    for (const path of libraries) expect(path).toMatch(new RegExp(`^${directory}/`));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test('the list of a loader names the libraries and the loader itself', () => {
  const list = [
    '\tlinux-vdso.so.1 (0x00007f4dfa61f000)',
    '\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f4dfa5ef000)',
    '\t/lib64/ld-linux-x86-64.so.2 (0x00007f4dfa621000)',
    '',
  ];
  expect(librariesIn(list.join('\n'), '/usr/bin/git')).toEqual([
    { name: 'libz.so.1', path: '/lib/x86_64-linux-gnu/libz.so.1' },
    { name: null, path: '/lib64/ld-linux-x86-64.so.2' },
  ]);
  expect(() => librariesIn('\tlibz.so.1 => not found\n', '/usr/bin/git')).toThrow(
    'lacks a library: libz.so.1',
  );
});
