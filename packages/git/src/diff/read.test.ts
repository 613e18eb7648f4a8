import { deflateSync } from 'node:zlib';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { diffLimits, readDiff } from './read.ts';
import { splitDiff } from './split.ts';

const read = (text: string, limits = diffLimits) => readDiff(Buffer.from(text), limits);
const refused = (code: string) => expect.objectContaining({ code }) as Error;

const modified = (name: string) =>
  `diff --git ${name} ${name}\nindex 1111111..2222222 100644\n--- ${name}\n+++ ${name}\n@@ -1 +1,2 @@\n-a\n+b\n+c\n`;
const added = (name: string, mode = '100644') =>
  `diff --git ${name} ${name}\nnew file mode ${mode}\nindex 0000000..2222222\n--- /dev/null\n+++ ${name}\n@@ -0,0 +1 @@\n+a\n`;
const link = (name: string, target: string) =>
  `${added(name, '120000').replace('+a\n', `+${target}\n`)}\\ No newline at end of file\n`;
const renamed = 'diff --git a/x b y/z\nsimilarity index 100%\nrename from a/x b\nrename to y/z\n';
const mode = 'diff --git run run\nold mode 100644\nnew mode 100755\n';
const removed =
  'diff --git d d\ndeleted file mode 100644\nindex 1111111..0000000\n--- d\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-a\n-b\n';
const binary = (half: string) =>
  `diff --git b b\nindex ${'1'.repeat(40)}..${'2'.repeat(40)} 100644\nGIT binary patch\n${half}\nliteral 0\nHcmV?d00001\n\n`;

const varint = (value: number): number[] =>
  value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~';
/** Writes at most 26 bytes as a line of a binary patch. */
const base85 = (bytes: Buffer): string => {
  const padded = Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
  let text = String.fromCharCode(64 + bytes.length);
  for (let at = 0; at < padded.length; at += 4)
    for (let power = 4; power >= 0; power -= 1)
      text += digits[Math.floor(padded.readUInt32BE(at) / 85 ** power) % 85];
  return text;
};

describe('readDiff', () => {
  it('returns what each file becomes, and its bytes', () => {
    const text = [modified('m'), added('n'), renamed, mode, removed].join('');
    const files = read(text);
    expect(files.map(({ kind, oldPath, path }) => [kind, oldPath, path])).toEqual([
      ['modified', 'm', 'm'],
      ['added', null, 'n'],
      ['renamed', 'a/x b', 'y/z'],
      ['modified', 'run', 'run'],
      ['deleted', 'd', 'd'],
    ]);
    expect(files.map((file) => [file.addedLines, file.deletedLines])).toEqual([
      ...[
        [2, 1],
        [1, 0],
        [0, 0],
      ],
      ...[
        [0, 0],
        [0, 2],
      ],
    ]);
    expect(files.map(({ oldMode, newMode }) => [oldMode, newMode])).toEqual([
      ['100644', '100644'],
      [null, '100644'],
      [null, null],
      ['100644', '100755'],
      ['100644', null],
    ]);
    expect(files.map(({ start, end }) => text.slice(start, end)).join('')).toBe(text);
  });

  it('reads names with spaces, quotes and other letters', () => {
    const spaced = modified('a b').replace('--- a b', '--- a b\t').replace('+++ a b', '+++ a b\t');
    const names = [spaced, modified('"\\303\\244\\t\\"x\\\\"'), modified('ü')].map(
      (text) => read(text)[0]?.path,
    );
    expect(names).toEqual(['a b', 'ä\t"x\\', 'ü']);
    expect(read('diff --git "\\303\\244" b c\nrename from "\\303\\244"\nrename to b c\n')).toMatchObject([
      { kind: 'renamed', oldPath: 'ä', path: 'b c' },
    ]);
  });

  it('takes an empty diff, an empty file, and a file that becomes a link', () => {
    expect(read('')).toEqual([]);
    expect(read('diff --git e e\nnew file mode 100644\nindex 0000000..e69de29\n')).toHaveLength(1);
    expect(read(removed + link('d', 'x/../n'))).toMatchObject([{ kind: 'deleted' }, { newMode: '120000' }]);
  });

  it('takes a submodule that is removed, also for a file of its name', () => {
    const gone = `diff --git s s\ndeleted file mode 160000\nindex 1111111..0000000\n--- s\n+++ /dev/null\n@@ -1 +0,0 @@\n-Subproject commit ${'1'.repeat(40)}\n`;
    expect(read(gone + added('s'))).toMatchObject([
      { kind: 'deleted', oldMode: '160000' },
      { kind: 'added', path: 's' },
    ]);
  });

  it.each([
    ['no diff', 'hello\n'],
    ['text between files', `${modified('a')}hello\n${modified('b')}`],
    ['an end in the middle', modified('a').slice(0, -5)],
    ['too few lines', modified('a').replace('+c\n', '')],
    ['a hunk without end', modified('a').replace('+1,2', '+1,999999999')],
    ['other names below', modified('a').replace('+++ a', '+++ b')],
    ['two names and no rename', 'diff --git a b\nold mode 100644\nnew mode 100755\n'],
    ['another rename than in the first line', renamed.replace('to y/z', 'to y/q')],
    ['a name that is no UTF-8', modified('"\\377"')],
    ['a control character', modified('a\u0001')],
    ['a file twice', modified('a') + modified('a')],
    ['a file that is added twice', added('a') + added('a')],
    ['a binary file without contents', `${mode}Binary files run and run differ\n`],
    ['a mode that is none', added('a', '104755')],
    ['a submodule', added('a', '160000')],
    ['a submodule at another commit', modified('a').replace('100644', '160000')],
    ['a file that becomes a submodule', mode.replace('100755', '160000')],
    ['a submodule that becomes a file in place', mode.replace('100644', '160000')],
    ['a file that becomes a link in place', mode.replace('100755', '120000')],
    ['a link without a target', added('l', '120000')],
    ['modes twice', mode + 'index 1111111..2222222 120000\n'],
  ])('refuses %s', (_, text) => {
    expect(() => read(text)).toThrow(refused('diff_invalid'));
  });

  it.each([
    ...['..', 'a/../b', '/a', './a', 'a//b', 'a/', '.git/config', 'a/.GIT/x', '.git./x', '.git /x'],
    ...['GIT~1/x', '.git::$INDEX_ALLOCATION/x', '.g\u200cit/x', 'a\\.git\\x', 'x'.repeat(256)],
    Array.from({ length: 201 }, () => 'd').join('/'),
  ])('refuses the path %j', (path) => {
    expect(() => read(added(path.includes('\\') ? `"${path.replaceAll('\\', '\\\\')}"` : path))).toThrow(
      refused('diff_invalid'),
    );
  });

  it.each(['/etc/passwd', '../x', 'a/../../x', '..\\x', 'C:/x', '.git/config', 'y/.GIT'])(
    'refuses a link to %j',
    (target) => {
      expect(() => read(link('l', target))).toThrow(refused('diff_invalid'));
      expect(read(link('l', 'fine'))).toHaveLength(1);
    },
  );

  it('takes a link out of a directory, and none out of the root', () => {
    expect(read(link('a/b/l', '../../x'))).toHaveLength(1);
    expect(() => read(link('a/b/l', '../../../x'))).toThrow(refused('diff_invalid'));
  });

  it('refuses what is too much: bytes, files, and what binary files unpack to', () => {
    const limits = { bytes: 1_000, files: 2, unpackedBytes: 1_000 };
    expect(() => read(modified('a'.repeat(250)), limits)).toThrow(refused('diff_too_big'));
    expect(() => read(mode + renamed + removed, limits)).toThrow(refused('diff_too_big'));
    expect(read(binary('literal 1000\nA00000\n'), limits)).toMatchObject([{ binary: true }]);
    expect(() => read(binary('literal 1001\nA00000\n'), limits)).toThrow(refused('diff_too_big'));
    expect(() => read(binary('literal 99999999999999\nA00000\n'))).toThrow(refused('diff_too_big'));
  });

  it('reads the size of the file that a delta makes from the packed bytes', () => {
    const limits = { ...diffLimits, unpackedBytes: 5_000_010 };
    const delta = (made: number) => {
      const bytes = Buffer.from([...varint(100), ...varint(made), 0x90, 100]);
      return binary(`delta ${bytes.length}\n${base85(deflateSync(bytes))}\n`);
    };
    expect(read(delta(5_000_000), limits)).toHaveLength(1);
    expect(() => read(delta(5_000_009), limits)).toThrow(refused('diff_too_big'));
    expect(() => read(delta(2 ** 45))).toThrow(refused('diff_too_big'));
    expect(() => read(binary(`delta 9\n${base85(Buffer.alloc(20, 7))}\n`))).toThrow(refused('diff_invalid'));
    expect(() => read(binary('delta 9\nA"""""\n'))).toThrow(refused('diff_invalid'));
  });

  it('refuses any text with an error of its own, or returns parts that are the whole of it', () => {
    const whole = [
      modified('a b'),
      added('n'),
      renamed,
      mode,
      removed,
      link('l', 'x'),
      binary('literal 3\nA00000\n'),
    ];
    const edit = fc.record({
      at: fc.nat(900),
      length: fc.nat(12),
      text: fc.oneof(
        fc.constantFrom('\n', '\t', '"', '\\', '-', ' '),
        fc.constantFrom(...whole),
        fc.string(),
      ),
    });
    const edited = fc
      .tuple(fc.shuffledSubarray(whole), fc.array(edit, { maxLength: 3 }))
      .map(([parts, edits]) =>
        edits.reduce(
          (text, { at, length, text: other }) => text.slice(0, at) + other + text.slice(at + length),
          parts.join(''),
        ),
      );
    fc.assert(
      fc.property(edited, (text) => {
        let files: ReturnType<typeof readDiff>;
        const bytes = Buffer.from(text);
        try {
          files = readDiff(bytes);
        } catch (error) {
          expect((error as { code?: string }).code).toMatch(/^diff_(?:invalid|too_big)$/);
          return;
        }
        let at = 0;
        for (const { start, end } of files) {
          expect(start).toBe(at);
          at = end;
        }
        expect(at).toBe(bytes.length);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('splitDiff', () => {
  const text = [modified('a/x'), modified('a/b/y'), modified('ab/z'), mode].join('');
  const split = (...groups: { directory: string; branch: string }[]) =>
    Object.fromEntries(
      [...splitDiff(Buffer.from(text), read(text), groups)].map(([branch, bytes]) => [
        branch ?? '',
        readDiff(bytes).map(({ path }) => path),
      ]),
    );

  it.each([
    [[], { '': ['a/x', 'a/b/y', 'ab/z', 'run'] }],
    [[{ directory: 'a', branch: 'one' }], { '': ['ab/z', 'run'], one: ['a/x', 'a/b/y'] }],
    [
      [
        { directory: 'a', branch: 'one' },
        { directory: './a/b/', branch: 'two' },
      ],
      { '': ['ab/z', 'run'], one: ['a/x'], two: ['a/b/y'] },
    ],
    [
      [
        { directory: 'a/b', branch: 'two' },
        { directory: 'a', branch: 'one' },
      ],
      { '': ['ab/z', 'run'], one: ['a/x', 'a/b/y'] },
    ],
  ])('gives the last group that a file is in its part: %j', (groups, parts) => {
    expect(split(...groups)).toEqual(parts);
  });
});
