import { posix } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { normalizePath, parseMemberPath } from './paths.ts';

const invalid = expect.objectContaining({ code: 'image_invalid' }) as Error;

describe('the path of a member', () => {
  it('is normalized relative to the root, without dots', () => {
    for (const raw of ['a/b', './a/b', '/a/b', 'a//b/', '/./a/./b/.', 'a/c/../b', 'c/../a/b'])
      expect(normalizePath(raw)).toBe('a/b');
    for (const raw of ['', '.', '/', './', 'a/..']) expect(normalizePath(raw)).toBe('');
  });

  it.each([['..'], ['../a'], ['a/../../b'], ['/../etc/passwd'], ['a\0b'], ['x'.repeat(256)]])(
    'is refused: %j',
    (raw) => {
      expect(() => normalizePath(raw)).toThrow(invalid);
      expect(() => parseMemberPath(raw)).toThrow(invalid);
    },
  );

  it('is refused or stays inside the image, whatever it is', () => {
    const part = fc.oneof(fc.constantFrom('', '.', '..', '...', '\0', ' '), fc.string());
    fc.assert(
      fc.property(fc.array(part), (parts) => {
        const raw = parts.join('/');
        const base = '/image'.repeat(3);
        const isInside = posix.join(base, raw, 'end').startsWith(`${base}/`);
        const leaves = raw.split('/').some((_part, at, all) => {
          return !posix.join(base, ...all.slice(0, at + 1), 'end').startsWith(`${base}/`);
        });
        if (!isInside || leaves || raw.includes('\0')) {
          expect(() => normalizePath(raw)).toThrow(invalid);
          return;
        }
        expect(normalizePath(raw)).toBe(posix.relative(base, posix.join(base, raw)));
      }),
    );
  });
});

describe('a member', () => {
  it('is content unless its name begins with the prefix of a whiteout', () => {
    expect(parseMemberPath('a/b')).toEqual({ kind: 'content', path: 'a/b' });
    expect(parseMemberPath('a/wh.b')).toEqual({ kind: 'content', path: 'a/wh.b' });
    expect(parseMemberPath('a/.wh.b')).toEqual({ kind: 'whiteout', path: 'a/b' });
    expect(parseMemberPath('.wh.b')).toEqual({ kind: 'whiteout', path: 'b' });
    expect(parseMemberPath('a/.wh..wh..opq')).toEqual({ kind: 'opaque', path: 'a' });
    expect(parseMemberPath('.wh..wh..opq')).toEqual({ kind: 'opaque', path: '' });
  });

  it.each([['.wh.'], ['a/.wh.'], ['a/.wh..'], ['a/.wh...']])(
    'is refused when it is a whiteout of a path without a name: %j',
    (raw) => {
      expect(() => parseMemberPath(raw)).toThrow(invalid);
    },
  );
});
