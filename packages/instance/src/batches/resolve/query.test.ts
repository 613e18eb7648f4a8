import { describe, expect, test } from 'vitest';
import { parseQuery } from './query.ts';

const contents = (text: string, isKeyword = true) =>
  parseQuery(text, isKeyword).contents.map(({ text: content, isNot, isPattern }) =>
    [isNot ? 'not' : '', isPattern ? `/${content}/` : content].filter(Boolean).join(' '),
  );

describe('a query', () => {
  test('has patterns for the names of repositories and files', () => {
    const { repositories, files } = parseQuery('repo:^github\\.com/acme/ -repo:legacy f:"a file$"', true);
    expect(repositories.map(({ isNot }) => isNot)).toEqual([false, true]);
    expect(repositories[0]?.matches('github.com/acme/api')).toBe(true);
    expect(repositories[0]?.matches('githubXcom/acme/api')).toBe(false);
    expect(files[0]?.matches('x/a file')).toBe(true);
  });

  test('ignores the case unless it says otherwise, and a revision after the name of a repository', () => {
    expect(parseQuery('repo:Acme@v1', true).repositories[0]?.matches('github.com/acme/api')).toBe(true);
    expect(parseQuery('repo:Acme case:yes', true).repositories[0]?.matches('acme')).toBe(false);
  });

  test.each([
    ['foo bar', true, ['foo', 'bar']],
    ['foo and not bar', true, ['foo', 'not bar']],
    ['foo bar', false, ['foo bar']],
    ['"foo bar" baz', true, ['foo bar', 'baz']],
    ['/fo+/', true, ['/fo+/']],
    ['/fo+ bar/', false, ['/fo+ bar/']],
    ['content:"- \\"x\\""', true, ['- "x"']],
    ['a.b c patterntype:regexp', true, ['/a.b/', '/c/']],
    ['a.b c patterntype:literal', true, ['a.b c']],
    ['-content:x y', true, ['not x', 'y']],
  ])('%s (keywords: %s) asks for contents', (text, isKeyword, expected) => {
    expect(contents(text, isKeyword)).toEqual(expected);
  });

  test.each([
    ['', 'it has no condition'],
    ['count:all', 'it has no condition'],
    ['a or b', '`or` and groups are not supported'],
    ['(a)', '`or` and groups are not supported'],
    ['lang:go', 'the field lang: is not supported'],
    ['repo:(', 'is no regular expression'],
    ['a not', 'nothing follows `not`'],
    ['a select:file', 'select:file is not supported'],
    ['a patterntype:structural', 'patterntype:structural is not supported'],
  ])('%s is refused', (text, why) => {
    expect(() => parseQuery(text, true)).toThrow(why);
  });
});
