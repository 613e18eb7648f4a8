import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { meaningOf, normalPath, parentsOf } from './names.ts';

const invalid = expect.objectContaining({ code: 'image_invalid' }) as Error;

describe('a path of a layer', () => {
  it('is taken from the root, without dots', () => {
    for (const raw of ['a/b', './a/b', '/a/b', 'a//b/', '/./a/./b/.']) expect(normalPath(raw)).toBe('a/b');
    for (const raw of ['', '.', '/', './']) expect(normalPath(raw)).toBe('');
  });

  it.each([
    ['..'],
    ['../a'],
    ['a/../../b'],
    ['a/..'],
    ['/../etc/passwd'],
    ['a\0b'],
    ['x'.repeat(256)],
    ['d/'.repeat(201)],
    [`${'d'.repeat(250)}/`.repeat(17)],
  ])('like %j is refused', (raw) => {
    expect(() => normalPath(raw)).toThrow(invalid);
    expect(() => meaningOf(raw)).toThrow(invalid);
  });

  it('is refused, or one that stays inside, whatever it is', () => {
    const part = fc.oneof(fc.constantFrom('', '.', '..', '...', '\0', ' '), fc.string());
    fc.assert(
      fc.property(fc.array(part), (parts) => {
        const raw = parts.join('/');
        if (raw.split('/').some((one) => one === '..' || one.includes('\0'))) {
          expect(() => normalPath(raw)).toThrow(invalid);
          return;
        }
        const path = normalPath(raw);
        expect(normalPath(path)).toBe(path);
        expect(path.split('/').filter((one) => one === '.' || one === '..')).toEqual([]);
        expect(path.startsWith('/')).toBe(false);
      }),
    );
  });
});

describe('a member', () => {
  it('is shown, unless its name begins as a whiteout', () => {
    expect(meaningOf('a/b')).toEqual({ kind: 'shown', path: 'a/b' });
    expect(meaningOf('a/wh.b')).toEqual({ kind: 'shown', path: 'a/wh.b' });
    expect(meaningOf('a/.wh.b')).toEqual({ kind: 'removed', path: 'a/b' });
    expect(meaningOf('.wh.b')).toEqual({ kind: 'removed', path: 'b' });
    expect(meaningOf('a/.wh..wh..opq')).toEqual({ kind: 'emptied', path: 'a' });
    expect(meaningOf('.wh..wh..opq')).toEqual({ kind: 'emptied', path: '' });
  });

  it.each([['.wh.'], ['a/.wh.'], ['a/.wh..'], ['a/.wh...']])(
    'like %j, which removes nothing that has a name, is refused',
    (raw) => {
      expect(() => meaningOf(raw)).toThrow(invalid);
    },
  );
});

it('the parents of a path are those between it and the root', () => {
  expect(parentsOf('a/b/c')).toEqual(['a', 'a/b']);
  expect(parentsOf('a')).toEqual([]);
});
