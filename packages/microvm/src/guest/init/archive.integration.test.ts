import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { compiled } from './testing/compile.ts';

const archiver = compiled('archive', ['archive.c', 'walk.c']);
let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'fumehood-archive-'));
});
afterEach(() => rmSync(root, { recursive: true }));

const make = (path: string) => mkdirSync(join(root, path), { recursive: true });
const write = (path: string, text = path) => writeFileSync(join(root, path), text);

function archive(path: string, largest = 10_000_000): { tar: Buffer; verdict: string } {
  const { stdout, stderr, status } = spawnSync(archiver.path, [root, path, String(largest)]);
  expect(status, String(stderr)).toBe(0);
  return { tar: stdout, verdict: String(stderr).trim() };
}
/** Returns what tar lists of an archive: mode, size, name and the target of a link. */
const listed = (tar: Buffer) =>
  String(execFileSync('tar', ['-tv', '--numeric-owner', '--full-time', '-f', '-'], { input: tar }))
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(/^(\S+) 0\/0 +(\d+) \S+ \S+ /, '$1 $2 '))
    .sort();

describe('an archive of what a step left', () => {
  it('has files, directories and links, none of which it follows, with names and targets of any length', () => {
    const long = `out/${'d'.repeat(120)}`;
    make(`${long}/e`);
    write(`${long}/e/f`);
    write('out/a', 'x'.repeat(1000));
    execFileSync('chmod', ['4755', join(root, 'out/a')]);
    execFileSync('mkfifo', [join(root, 'out/pipe')]);
    symlinkSync('/etc/passwd', join(root, 'out/link'));
    symlinkSync('t'.repeat(150), join(root, 'out/long-link'));
    const { tar, verdict } = archive('out');
    expect(verdict).toBe('ok');
    expect(listed(tar)).toEqual(
      [
        '-rwxr-xr-x 1000 out/a',
        `-rw-r--r-- 132 ${long}/e/f`.replace('132', String(`${long}/e/f`.length)),
        'drwxr-xr-x 0 out',
        `drwxr-xr-x 0 ${long}`,
        `drwxr-xr-x 0 ${long}/e`,
        'lrwxrwxrwx 0 out/link -> /etc/passwd',
        `lrwxrwxrwx 0 out/long-link -> ${'t'.repeat(150)}`,
      ].sort(),
    );
  });

  it('may be of one file, below a link that stays inside of the root', () => {
    make('real');
    write('real/report.xml');
    symlinkSync('/real', join(root, 'link'));
    expect(listed(archive('link/report.xml').tar)).toEqual(['-rw-r--r-- 15 link/report.xml']);
  });

  it.each(['../outside', 'link/outside', 'none', 'none/file'])('of %s is missing', (path) => {
    symlinkSync('..', join(root, 'link'));
    expect(archive(path).verdict).toMatch(/^missing /);
  });

  it('is refused for a link, and for a named pipe', () => {
    symlinkSync('/etc/passwd', join(root, 'link'));
    execFileSync('mkfifo', [join(root, 'pipe')]);
    for (const path of ['link', 'pipe']) expect(archive(path).verdict).toMatch(/^irregular /);
  });

  it('ends at its limit, before it reads a file that does not fit', () => {
    make('out');
    write('out/a', 'x'.repeat(10_000));
    expect(archive('out', 5_000).verdict).toMatch(/^too-big /);
    write('out/huge');
    truncateSync(join(root, 'out/huge'), 2 ** 40);
    const { tar, verdict } = archive('out', 2 ** 30);
    expect(verdict).toMatch(/^too-big /);
    expect(tar.length).toBeLessThan(20_000);
  });

  it('of directories that are too deep is refused', () => {
    make(`out/${Array.from({ length: 201 }, () => 'd').join('/')}`);
    expect(archive('out').verdict).toMatch(/^error .*too deep/);
  });
});
