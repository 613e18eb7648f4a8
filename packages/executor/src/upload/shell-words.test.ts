import { execFileSync } from 'node:child_process';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { shellWords } from './shell-words.ts';

/** Returns the arguments that a real shell makes of each line. One process handles all lines. */
function asShellSees(lines: readonly string[]): string[][] {
  const script = lines.map((line) => `printf '%s\\0' ${line}\nprintf '\\001\\0'\n`).join('');
  const out = execFileSync('/bin/sh', ['-s'], { input: script });
  const words = out.toString('utf8').split('\0').slice(0, -1);
  const found: string[][] = [];
  let current: string[] = [];
  for (const word of words) {
    if (word === '\x01') {
      found.push(current);
      current = [];
    } else current.push(word);
  }
  return found;
}

describe('one shell-quoted command line', () => {
  it.each<[string, string[]]>([
    ['src code-intel upload', ['src', 'code-intel', 'upload']],
    ["  a\t'b c'  ", ['a', 'b c']],
    ["-root 'it'\\''s'", ['-root', "it's"]],
    ['"a\\"b\\\\c\\d" ""', ['a"b\\c\\d', '']],
    ['"\\$x" \\$x', ['$x', '$x']],
    ['a"b"\'c\'\\ d', ['abc d']],
    ["'$(id) `id` * ? # ; & |'", ['$(id) `id` * ? # ; & |']],
  ])('%j is read as a shell reads it', (line, words) => {
    expect(shellWords(line)).toEqual(words);
    expect(asShellSees([line])).toEqual([words]);
  });

  it.each([
    ['nothing', '  '],
    ['a variable', 'src $HOME'],
    ['a variable between quotes', 'src "$HOME"'],
    ['a substitution', 'src $(id)'],
    ['an old substitution', 'src "`id`"'],
    ['a pattern', 'src *'],
    ['a pattern of one character', 'src ?'],
    ['a set of characters', 'src [a]'],
    ['braces', 'src {a,b}'],
    ['a home directory', 'src ~'],
    ['a home directory in the middle', 'src -file=~/x'],
    ['an output', 'src >x'],
    ['an input', 'src <x'],
    ['a second command', 'src; id'],
    ['a second command if the first ends well', 'src && id'],
    ['a background', 'src &'],
    ['a pipe', 'src | id'],
    ['a subshell', '(src)'],
    ['a comment', 'src # x'],
    ['a second line', 'src\nid'],
    ['a continued line', 'src \\\nid'],
    ['a second line between quotes', "src 'a\nb'"],
    ['a carriage return', 'src\r'],
    ['a NUL', "src '\0'"],
    ['a negation', '! src'],
    ['an open quote', "src 'a"],
    ['an open double quote', 'src "a'],
    ['a backslash at the end', 'src \\'],
    ['a blank of another alphabet', 'src\u00a0x'],
    ['half a character', "src '\ud800'"],
  ])('%s is refused', (_name, line) => {
    expect(shellWords(line)).toBeNull();
  });

  it('that is accepted has the words that a real shell makes of it, for random lines', {
    timeout: 60_000,
  }, () => {
    const unit = fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom(...` \t'"\\$\`!*?[]{}()<>|&;#~=:^%-azAZ09./,@+_`.split('')) },
      { weight: 2, arbitrary: fc.constantFrom("'", '"', ' ', 'a') },
      { weight: 1, arbitrary: fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }) },
    );
    const piece = fc.oneof(
      unit,
      fc.array(unit, { maxLength: 6 }).map((some) => `'${some.join('').replaceAll("'", '')}'`),
      fc.array(unit, { maxLength: 6 }).map((some) => `"${some.join('').replaceAll(/["$`!]/g, '')}"`),
    );
    const lines = fc
      .sample(
        fc.array(piece, { minLength: 1, maxLength: 8 }).map((some) => some.join('')),
        5_000,
      )
      .filter((line) => shellWords(line) !== null);
    expect(lines.length).toBeGreaterThan(500);
    expect(asShellSees(lines)).toEqual(lines.map(shellWords));
  });

  it('made by quoting random words is accepted and gives these words', () => {
    const word = fc
      .string({ unit: 'grapheme' })
      // oxlint-disable-next-line no-control-regex -- these are refused above
      .filter((text) => !/[\x00-\x08\x0a-\x1f\x7f]/.test(text));
    fc.assert(
      fc.property(fc.array(word, { minLength: 1 }), (words) => {
        const line = words.map((one) => `'${one.replaceAll("'", `'\\''`)}'`).join(' ');
        expect(shellWords(line)).toEqual(words);
      }),
    );
  });
});
