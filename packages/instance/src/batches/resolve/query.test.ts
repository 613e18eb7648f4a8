import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { pathsOfLanguage } from './languages.ts';
import { type Alternative, parseQuery } from './query.ts';

/** The contents that each alternative asks for. */
const contentsOf = (text: string, isKeyword: boolean) =>
  parseQuery(text, isKeyword).alternatives.map(({ contents }) =>
    contents.map(({ text: content, isNot, isPattern }) =>
      [isNot ? 'not' : '', isPattern ? `/${content}/` : content].filter(Boolean).join(' '),
    ),
  );
const only = (text: string) => {
  const { alternatives } = parseQuery(text, true);
  expect(alternatives).toHaveLength(1);
  return alternatives[0] as Alternative;
};

describe('a query', () => {
  test('has patterns for the names of repositories and files', () => {
    const { repositories, files } = only('repo:^github\\.com/acme/ -repo:legacy f:"a file$"');
    expect(repositories.map(({ isNot }) => isNot)).toEqual([false, true]);
    expect(repositories[0]?.matches('github.com/acme/api')).toBe(true);
    expect(repositories[0]?.matches('githubXcom/acme/api')).toBe(false);
    expect(files[0]?.matches('x/a file')).toBe(true);
  });

  test('ignores the case unless it says otherwise, and a revision', () => {
    expect(only('repo:Acme@v1 rev:v2').repositories[0]?.matches('github.com/acme/api')).toBe(true);
    expect(only('repo:Acme case:yes').repositories[0]?.matches('acme')).toBe(false);
  });

  test('has the files of a language by their names', () => {
    const { files } = only('lang:go -language:TypeScript l:C++ repo:x');
    expect(files.map(({ isNot }) => isNot)).toEqual([false, true, false]);
    expect(files.map(({ matches }) => ['a/b.GO', 'x.tsx', 'x.cpp', 'go'].map(matches))).toEqual([
      [true, false, false, false],
      [false, true, false, false],
      [false, false, true, false],
    ]);
    expect(pathsOfLanguage('constructor')).toBeNull();
  });

  test('asks for files that a repository has', () => {
    const { having } = only(
      'repo:has.path(a b) -repo:contains.file(path:^go content:x (y)) repo:has.content(a|b)',
    );
    expect(having.map(({ isNot, content }) => [isNot, content?.text])).toEqual([
      [false, undefined],
      [true, 'x (y)'],
      [false, 'a|b'],
    ]);
    expect(having.map(({ matches }) => matches?.('x/a b') ?? null)).toEqual([true, false, null]);
  });

  test.each([
    ['foo bar', true, [['foo', 'bar']]],
    ['foo and not bar', true, [['foo', 'not bar']]],
    ['foo bar', false, [['foo bar']]],
    ['foo file:x count:all bar', false, [['foo bar']]],
    ['if (x y) { file:go$', false, [['if (x y) {']]],
    [
      'foo (bar or baz)',
      false,
      [
        ['bar', 'foo'],
        ['baz', 'foo'],
      ],
    ],
    ['foo and bar', false, [['foo', 'bar']]],
    ['"foo bar" baz', true, [['foo bar', 'baz']]],
    ['/fo+/', true, [['/fo+/']]],
    ['/fo+ bar/', false, [['/fo+ bar/']]],
    ['content:"- \\"x\\""', true, [['- "x"']]],
    ['a.b c patterntype:regexp', true, [['/a.b/', '/c/']]],
    ['a.b c patterntype:literal', true, [['a.b c']]],
    ['-content:x y', true, [['not x', 'y']]],
    ['file:has.content(a b) x', true, [['/a b/', 'x']]],
    ['a or b c', true, [['a'], ['b', 'c']]],
    [
      '(a OR b) c',
      true,
      [
        ['a', 'c'],
        ['b', 'c'],
      ],
    ],
    [
      'not (a b) c',
      true,
      [
        ['not a', 'c'],
        ['not b', 'c'],
      ],
    ],
    ['-(a or b)', true, [['not a', 'not b']]],
    [
      '((a or b) and (c or not d))',
      true,
      [
        ['a', 'c'],
        ['a', 'not d'],
        ['b', 'c'],
        ['b', 'not d'],
      ],
    ],
    [
      '(foo bar or baz) qux',
      false,
      [
        ['foo bar', 'qux'],
        ['baz', 'qux'],
      ],
    ],
    ['main() f(x) or (g(y))', true, [['main()', 'f(x)'], ['g(y)']]],
    ['(a|b)c patterntype:regexp', true, [['/(a|b)c/']]],
    ['order and oracle', true, [['order', 'oracle']]],
    ['"a or b" \'(c)\'', true, [['a or b', '(c)']]],
  ])('%s (keywords: %s) asks for contents', (text, isKeyword, expected) => {
    expect(contentsOf(text, isKeyword)).toEqual(expected);
  });

  test('has conditions of each kind in each of its groups', () => {
    const { alternatives } = parseQuery('(repo:api file:(x|y)\\.go$) or (lang:java word) select:repo', true);
    expect(
      alternatives.map(({ repositories, files, contents }) =>
        [repositories, files, contents].map((all) => all.length),
      ),
    ).toEqual([
      [1, 1, 0],
      [0, 1, 1],
    ]);
    expect(alternatives[0]?.files[0]?.matches('a/y.go')).toBe(true);
  });

  test.each([
    ['', 'it has no condition'],
    ['count:all', 'it has no condition'],
    ['a or', 'lacks a condition (at character 5)'],
    ['a or (count:all)', 'it has no condition'],
    ['a ()', 'lacks a condition (at character 4)'],
    ['(a', 'a group has no `)` (at character 1)'],
    ['a )', 'closes no group (at character 3)'],
    ['lang:klingon', 'does not know the language klingon: name its files with file: (at character 1)'],
    ['a author:x', 'the field author: is not supported (at character 3)'],
    ['repo:(', 'is no regular expression'],
    ['a not', 'nothing follows `not`'],
    ['a select:file', 'select:file is not supported (at character 3)'],
    ['a patterntype:structural', 'patterntype:structural is not supported'],
    ['a fork:only', 'fork:only is not supported'],
    ['a type:diff', 'type:diff is not supported'],
    ['repo:has.tag(x)', 'repo:has.tag(…) is not supported'],
    ['file:has.owner(x)', 'file:has.owner(…) is not supported'],
    ['repo:has.path(x', 'a `(` is not closed'],
    [`${'('.repeat(30)}a${')'.repeat(30)}`, 'nested too deeply'],
    [Array.from({ length: 10 }, () => '(a or b)').join(' '), 'more than 50 alternatives'],
    ['a '.repeat(101), 'more than 100 conditions'],
  ])('%s is refused', (text, why) => {
    expect(() => parseQuery(text, true)).toThrow(why);
  });

  test('is read or refused, whatever its text', () => {
    const piece = fc.constantFrom(
      ...[
        '(',
        ')',
        '-',
        ' or ',
        ' and ',
        ' not ',
        ' ',
        'a',
        '"',
        "'",
        '/',
        '\\',
        'repo:',
        'file:has.content(',
        'lang:go',
        '|',
        'case:yes',
      ],
    );
    fc.assert(
      fc.property(
        fc.array(fc.oneof(piece, fc.string()), { maxLength: 25 }),
        fc.boolean(),
        (pieces, isKeyword) => {
          try {
            expect(parseQuery(pieces.join(''), isKeyword).alternatives.length).toBeGreaterThan(0);
          } catch (error) {
            expect(error).toMatchObject({ code: 'batch_query_invalid' });
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test('finds what its expression says', () => {
    const leaf = fc
      .constantFrom('a', 'b', 'c')
      .map((name) => ({ text: name, holds: (has: ReadonlySet<string>) => has.has(name) }));
    const { tree } = fc.letrec<{ tree: { text: string; holds: (has: ReadonlySet<string>) => boolean } }>(
      (tie) => ({
        tree: fc.oneof(
          { maxDepth: 3 },
          leaf,
          tie('tree').map((one) => ({
            text: `not (${one.text})`,
            holds: (has: ReadonlySet<string>) => !one.holds(has),
          })),
          fc.tuple(tie('tree'), tie('tree')).map(([a, b]) => ({
            text: `(${a.text} or ${b.text})`,
            holds: (has: ReadonlySet<string>) => a.holds(has) || b.holds(has),
          })),
          fc.tuple(tie('tree'), tie('tree')).map(([a, b]) => ({
            text: `(${a.text} ${b.text})`,
            holds: (has: ReadonlySet<string>) => a.holds(has) && b.holds(has),
          })),
        ),
      }),
    );
    fc.assert(
      fc.property(tree, fc.subarray(['a', 'b', 'c']), ({ text, holds }, names) => {
        const has = new Set(names);
        const { alternatives } = parseQuery(text, true);
        const found = alternatives.some(({ contents }) =>
          contents.every((one) => has.has(one.text) !== one.isNot),
        );
        expect(found, text).toBe(holds(has));
      }),
    );
  });
});
