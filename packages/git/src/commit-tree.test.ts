import { PassThrough, Readable } from 'node:stream';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkTree, parseRecord, pathChecker } from './commit-tree.ts';
import type { Repository } from './repository.ts';

const object = 'a'.repeat(40);
const check = (paths: string[]) => {
  const one = pathChecker();
  for (const path of paths) one(path);
};

describe('paths of a commit', () => {
  it('are accepted when they are plain', () => {
    expect(() => check(['.gitignore', 'a', 'b.c', 'b/c', 'b/d/e', 'b0', 'git/.gitmodules'])).not.toThrow();
  });

  it.each([
    ['..'],
    ['a/../b'],
    ['./a'],
    ['a//b'],
    ['/a'],
    ['a/'],
    ['.git/config'],
    ['a/.GIT/hooks/x'],
    ['.gIt'],
    ['x'.repeat(256)],
    [Array.from({ length: 201 }, () => 'd').join('/')],
    [Array.from({ length: 20 }, () => 'd'.repeat(250)).join('/')],
  ])('like %j are refused', (path) => {
    expect(() => check([path])).toThrow(expect.objectContaining({ code: 'repository_invalid' }) as Error);
  });

  it.each([
    [['a', 'a']],
    [['b', 'a']],
    [['a', 'a/b']],
    [['a/b', 'a/b/c']],
    [['a', 'a-', 'a--', 'a-b', 'a/b']],
    [['a/b', 'a/b-/c', 'a/b-/d-', 'a/b/c']],
  ])('like %j are refused together', (paths) => {
    expect(() => check(paths)).toThrow(expect.objectContaining({ code: 'repository_invalid' }) as Error);
  });

  it('may have so many bytes together, with those of their directories, and no more', () => {
    const paths = ['a/b/c', 'a/b/d', 'a/e', 'f'];
    const bytes = 'a/b/c'.length + 'a'.length + 'a/b'.length + 'a/b/d'.length + 'a/e'.length + 'f'.length;
    const checkWithin = (limit: number) => () => paths.forEach(pathChecker(undefined, limit));
    expect(checkWithin(bytes)).not.toThrow();
    expect(checkWithin(bytes - 1)).toThrow(`its paths have more than ${bytes - 1} bytes`);
  });

  it('conflict exactly when one of them is a directory of another', () => {
    const letters = ['a', '-', '/', '0'];
    const path = fc
      .array(fc.constantFrom(...letters), { minLength: 1, maxLength: 6 })
      .map((all) => all.join(''));
    const isPath = (one: string) => !/^\/|\/$|\/\//.test(one);
    fc.assert(
      fc.property(fc.uniqueArray(path.filter(isPath), { maxLength: 12 }), (paths) => {
        const conflict = paths.some((one) => paths.some((other) => other.startsWith(`${one}/`)));
        const run = () => check(paths.toSorted((one, other) => (one < other ? -1 : 1)));
        if (conflict) expect(run).toThrow('is a file and a directory');
        else expect(run).not.toThrow();
      }),
    );
  });
});

describe('records of git ls-tree', () => {
  it('are parsed by mode, with any byte in the name', () => {
    expect(parseRecord(`100644 blob ${object}      12\ta\n\tb`)).toEqual({
      path: 'a\n\tb',
      type: 'file',
      object,
      size: 12,
    });
    expect(parseRecord(`100755 blob ${object}       0\tx`).type).toBe('executable');
    expect(parseRecord(`100664 blob ${object}       0\tx`).type).toBe('file');
    expect(parseRecord(`120000 blob ${object}       3\tx`).type).toBe('symlink');
    expect(parseRecord(`160000 commit ${object}       -\tx`)).toMatchObject({ type: 'submodule', size: 0 });
  });

  it('of another form are refused', () => {
    for (const record of [`040000 tree ${object}       -\tx`, 'nonsense', `100644 blob ${object} 1\t`])
      expect(() => parseRecord(record)).toThrow(
        expect.objectContaining({ code: 'repository_invalid' }) as Error,
      );
  });
});

describe('the list of a commit', () => {
  it('lets other work of the process have its turn after each piece, also if all of it is there at once', async () => {
    const pieces = Array.from({ length: 200 }, (_, piece) =>
      Array.from({ length: 100 }, (_, at) => {
        const path = `${String(piece).padStart(3, '0')}/${String(at).padStart(3, '0')}`;
        return `100644 blob ${object}       1\t${path}\0`;
      }).join(''),
    );
    const repository = {
      commit: object,
      git: async () => ({
        ...{ uid: 0, stdin: new PassThrough(), stderr: Readable.from([]), kill: () => {} },
        stdout: Readable.from(pieces.map((piece) => Buffer.from(piece))),
        exited: Promise.resolve({ code: 0, signal: null, timedOut: false }),
      }),
    } as unknown as Repository;
    let turns = 0;
    const count = () => {
      turns += 1;
      counting = setImmediate(count);
    };
    let counting = setImmediate(count);
    await checkTree(repository);
    clearImmediate(counting);
    expect(turns).toBeGreaterThanOrEqual(pieces.length);
  });
});
