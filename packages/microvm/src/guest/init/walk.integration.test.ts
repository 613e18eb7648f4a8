import { execFileSync } from 'node:child_process';
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { compiled } from './testing/compile.ts';

const walker = compiled('walk', ['walk.c']);
let outside: string;
let root: string;
beforeEach(() => {
  outside = mkdtempSync(join(tmpdir(), 'fumehood-walk-'));
  root = join(outside, 'root');
  mkdirSync(join(root, 'etc'), { recursive: true });
  writeFileSync(join(outside, 'secret'), '');
});
afterEach(() => rmSync(outside, { recursive: true }));

type Kind = 'open' | 'file' | 'directory';

/** Returns where a walk ended, as a path of `from`, or the name of its error. */
function walk(kind: Kind, path: string, from = root): string {
  const line = execFileSync(walker.path, [from, kind, path], { encoding: 'utf8' }).trimEnd();
  return from !== '/' && line.startsWith(from) ? line.slice(from.length).replace(/^(?!\/)/, '/') : line;
}

describe('a walk', () => {
  it('follows links inside of the root, and starts absolute ones at the root', () => {
    symlinkSync('etc', join(root, 'relative'));
    symlinkSync('/etc', join(root, 'absolute'));
    writeFileSync(join(root, 'etc/passwd'), '');
    for (const name of ['etc', 'relative', 'absolute', 'relative/../absolute'])
      expect(walk('open', `/${name}/passwd`), name).toBe('/etc/passwd');
  });

  it.each(['../secret', '../../secret', '/../secret', 'etc/../../secret'])(
    'cannot leave the root through %s, in a path or as a link',
    (path) => {
      expect(walk('open', path)).toBe('ENOENT');
      symlinkSync(path, join(root, 'link'));
      expect(walk('open', 'link')).toBe('ENOENT');
      expect(walk('file', 'link/made')).toBe('ENOENT');
      expect(readdirSync(outside).sort()).toEqual(['root', 'secret']);
    },
  );

  it.each(['/proc/self/root', '/proc/self/cwd', '/proc/self/exe', '/proc/self/fd/0', '/dev/fd/0'])(
    'refuses %s, also through a link',
    (magic) => {
      expect(walk('open', magic, '/')).toBe('ELOOP');
      expect(walk('directory', `${magic}/made`, '/')).toBe('ELOOP');
      const link = join(outside, 'link');
      symlinkSync(magic, link);
      expect(walk('open', link, '/')).toBe('ELOOP');
      expect(walk('directory', link, '/')).toBe('ELOOP');
      expect(walk('file', join(link, 'made'), '/')).toBe('ELOOP');
    },
  );
});

describe('a path that is missing', () => {
  it('is made with its parents, and is found when it is there', () => {
    expect(walk('directory', '/made/for//it/')).toBe('/made/for/it made');
    expect(walk('directory', 'made/for/it')).toBe('/made/for/it');
    expect(walk('file', '/made/file')).toBe('/made/file');
    expect(lstatSync(join(root, 'made/file')).isFile()).toBe(true);
    expect(walk('directory', '/')).toBe('/');
    expect(walk('directory', '')).toBe('/');
  });

  it('is made behind a link, inside of the root', () => {
    symlinkSync('/etc', join(root, 'link'));
    expect(walk('directory', '/link/conf')).toBe('/etc/conf made');
  });

  it('is not made in the place of a link that leads to nothing', () => {
    symlinkSync('/run/resolv.conf', join(root, 'etc/resolv.conf'));
    expect(walk('file', '/etc/resolv.conf')).toBe('/etc/resolv.conf');
    expect(lstatSync(join(root, 'etc/resolv.conf')).isSymbolicLink()).toBe(true);
    expect(walk('directory', '/etc/resolv.conf')).toBe('ENOENT');
  });

  it('is refused when a part of it is a file, or when it is too long', () => {
    writeFileSync(join(root, 'file'), '');
    expect(walk('directory', '/file/made')).toBe('ENOTDIR');
    expect(walk('directory', '/a'.repeat(2_048))).toBe('ENAMETOOLONG');
    expect(walk('directory', '/a'.repeat(100))).toMatch(/^(\/a){100} made$/);
  });

  it('never leads out of the root, whatever links it meets', () => {
    const part = fc.constantFrom('..', '.', 'a', 'b', 'link', '');
    const path = fc.array(part, { maxLength: 6 }).map((parts) => parts.join('/'));
    const target = fc.tuple(fc.constantFrom('', '/'), path).map(([start, rest]) => start + rest || '.');
    fc.assert(
      fc.property(target, path, fc.constantFrom<Kind>('file', 'directory'), (link, wanted, kind) => {
        rmSync(root, { recursive: true });
        mkdirSync(join(root, 'a'), { recursive: true });
        symlinkSync(link, join(root, 'link'));
        expect(walk(kind, wanted)).toMatch(/^\/|^ENOENT$|^ELOOP$|^ENOTDIR$/);
        expect(readdirSync(outside).sort()).toEqual(['root', 'secret']);
      }),
      { numRuns: 100 },
    );
  });
});
