import { describe, expect, it } from 'vitest';
import { identifierAt, looksDefined, occurrencesOf } from './words.ts';

describe('the identifier at a position', () => {
  it.each([
    ['let $größe_2 = 1', 5, '$größe_2'],
    ['let $größe_2 = 1', 4, '$größe_2'],
    ['let $größe_2 = 1', 12, '$größe_2'],
    ['"😀" + name', 8, 'name'],
    ['a + b', 2, null],
    ['x = 123', 5, null],
    ['', 0, null],
    ['short', 99, null],
    ['x'.repeat(129), 3, null],
  ])('in %s at %i is %s', (line, character, expected) => {
    expect(identifierAt(line, character)).toBe(expected);
  });
});

it('only whole identifiers are occurrences', () => {
  expect([...occurrencesOf('a', 'a $a aé a1 "😀" a.a')]).toEqual([
    { character: 0, endCharacter: 1 },
    { character: 16, endCharacter: 17 },
    { character: 18, endCharacter: 19 },
  ]);
});

describe('a definition', () => {
  const place = (line: string) => line.indexOf('NAME');
  it.each([
    'function NAME()',
    'export class NAME {',
    'func (s *Server) NAME(',
    'function* NAME()',
    'fn  NAME<T>',
  ])('looks like %s', (line) => expect(looksDefined(line, place(line))).toBe(true));
  it.each(['NAME()', 'subclass NAME', '$def NAME', 'class A extends NAME'])('does not look like %s', (line) =>
    expect(looksDefined(line, place(line))).toBe(false),
  );
});
