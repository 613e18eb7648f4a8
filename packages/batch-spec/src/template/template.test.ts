import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { evaluate } from './evaluate.ts';
import { functions } from './functions.ts';
import { matchesGlob } from './glob.ts';
import { parseTemplate } from './parse.ts';
import { shellWord, shellWordOnce, shellWords } from './shell.ts';
import { SpacedList, type Value, valueFrom } from './value.ts';

const map = (fields: Readonly<Record<string, Value>>) => new Map(Object.entries(fields));
const variables = map({
  repository: map({
    name: 'github.com/acme/api',
    branch: 'main',
    search_result_paths: SpacedList.from(['README.md', 'cmd/main.go']),
  }),
  steps: map({ path: 'services/api', renamed_files: ['new.txt'] }),
  previous_step: map({
    ...{ modified_files: ['a.go', 'c.go'], added_files: [], deleted_files: [], renamed_files: [] },
    ...{ stdout: 'hello\n', stderr: '' },
  }),
  step: map({ stdout: '' }),
  outputs: map({
    v: '1.2',
    cfg: valueFrom({ hooks: ['x', 'y'], n: 3, deep: { k: 'v' } }, true),
  }),
});
const names = new Set([...Object.keys(functions), ...variables.keys()]);
const render = (template: string) => evaluate(parseTemplate(template, names), variables);

describe('a template yields', () => {
  test.each([
    ['${{ repository.name }}', 'github.com/acme/api'],
    ['${{ repository.search_result_paths }}', 'README.md cmd/main.go'],
    ['${{ previous_step.modified_files }}', '[a.go c.go]'],
    ['${{ join previous_step.modified_files " " }}', 'a.go c.go'],
    ['${{ steps.renamed_files }}', '[new.txt]'],
    ['${{ join previous_step.deleted_files " " }}', ''],
    ['${{ replace steps.path "/" "-" }}', 'services-api'],
    ['${{ join_if "-" "pre" (replace steps.path "/" "-") "" }}', 'pre-services-api'],
    ['${{ index (split repository.name "/") 1 }}', 'acme'],
    ['${{ split repository.name "/" }}', '[github.com acme api]'],
    ['${{ matches repository.name "github.com/*" }}', 'true'],
    ['${{ matches repository.name "github.com/{acme,foo}/a?i" }}', 'true'],
    ['${{ eq previous_step.stdout "hello\\n" }}', 'true'],
    ['${{ outputs.cfg }}', 'map[deep:map[k:v] hooks:[x y] n:3]'],
    ['${{ range $i, $h := outputs.cfg.hooks }}${{ $i }}=${{ $h }};${{ end }}', '0=x;1=y;'],
    ['${{ "${{ repository.name }}" }}', '${{ repository.name }}'],
    ['a ${{- " b " -}} c', 'a b c'],
    ['${{ printf "%05.1f" 3.14159 }}', '003.1'],
    ['${{ html "<a&b>" }}', '&lt;a&amp;b&gt;'],
    ['${{/* comment */}}x', 'x'],
    ['{{ not a template }}', '{{ not a template }}'],
    ['${{ len repository.search_result_paths }}', '2'],
    ['${{ step.stdout }}', ''],
    ['${{ outputs.cfg.n }}', '3'],
    ['${{ if and true (gt 2 1) }}yes${{ else }}no${{ end }}', 'yes'],
    ['${{ if false }}a${{ else if eq 1 1 }}b${{ else }}c${{ end }}', 'b'],
    ['${{ with outputs.cfg.deep }}${{ .k }}${{ end }}', 'v'],
    ['${{ $x := "a" }}${{ if true }}${{ $x = "b" }}${{ end }}${{ $x }}', 'b'],
    [
      '${{ range $i, $x := split "a,b,c" "," }}${{ if eq $i 1 }}${{ continue }}${{ end }}${{ $x }}${{ end }}',
      'ac',
    ],
    ['${{ range outputs.cfg.hooks }}${{ . }}${{ break }}${{ end }}', 'x'],
    ['${{ range 3 }}${{ . }}${{ end }}', '012'],
    ['${{ repository.name | printf "%q" }}', '"github.com/acme/api"'],
    ['${{ or "" "default" }}', 'default'],
    ['${{ printf "%5d|%-5s|%x|%t|%v" 42 "ab" 255 true outputs.cfg.hooks }}', '   42|ab   |ff|true|[x y]'],
    ['${{ printf "%d" "x" }}', '%!d(string=x)'],
    ['${{ printf "%s" }}', '%!s(MISSING)'],
    ['${{ print 1 2 "a" "b" 3 }}', '1 2a b3'.replace('a b', 'ab')],
    ['${{ index outputs.cfg.deep "none" }}', '<no value>'],
    ['${{ slice "hello" 1 3 }}', 'el'],
    ['${{ urlquery "a b&c" }}', 'a+b%26c'],
    ['${{ `raw "text"` }}', 'raw "text"'],
    ['${{ shellquote_join "a b" "c" (split "d;e,f" ",") }}', String.raw`'a b' c d\;e f`],
    ['${{ shellquote_join "\'a b\'" "it\'s" }}', String.raw`'a b' it\'s`],
    ['${{ join (shellquote_split "a \'b c\'\\\\ d \\"\\"") "|" }}', 'a|b c d|'],
    ["${{ 'a' }} ${{ 0x10 }} ${{ 1e3 }} ${{ -2 }}", '97 16 1000 -2'],
  ])('%s: %s', (template, expected) => {
    expect(render(template)).toBe(expected);
  });
});

describe('a template fails', () => {
  test.each([
    ['${{ outputs.missing }}', 'map has no entry for key "missing"'],
    ['${{ repository.nope }}', 'map has no entry for key "nope"'],
    ['${{ github.ref }}', 'function "github" not defined'],
    ['${{ eq 1 1.0 }}', 'incompatible types for comparison'],
    ['${{ index (split "a" ",") 5 }}', 'index out of range: 5'],
    ['${{ repository.name ', 'unclosed expression'],
    ['${{ if true }}x', 'unexpected EOF'],
    ['${{ end }}', 'unexpected {{end}}'],
    ['${{ $x }}', 'undefined variable "$x"'],
    ['${{ "a }}', 'unexpected "\\""'],
    ['${{ }}', 'missing value for command'],
    ['${{ not }}', 'wrong number of args'],
    ['${{ repository.name "x" }}', "can't give argument to non-function"],
    ['${{ template "x" }}', 'not supported'],
    ['${{ matches "a" "[" }}', 'a [ without a ]'],
    ['${{ shellquote_split "a \'" }}', 'a quote or a backslash has no end'],
    ['${{ shellquote_join 1 }}', 'expected string'],
  ])('%s: %s', (template, message) => {
    expect(() => render(template)).toThrow(message);
  });

  test('at a bound, however large what it asks for is', () => {
    const nested = '${{ range 100000 }}'.repeat(3) + 'x' + '${{ end }}'.repeat(3);
    expect(() => render(nested)).toThrow('steps');
    expect(() => render(`${'${{ if true }}'.repeat(100)}${'${{ end }}'.repeat(100)}`)).toThrow('deeply');
    expect(() => render(`\${{ ${'('.repeat(100)}1${')'.repeat(100)} }}`)).toThrow('deeply');
    expect(() => render('${{ printf "%999999999d" 1 }}')).toThrow('at most');
    const doubling = '${{ $x := "aaaaaaaaaaaaaaaa" }}' + '${{ $x = print $x $x $x $x }}'.repeat(20);
    expect(() => render(doubling)).toThrow('at most');
    expect(() => render('x'.repeat(2 ** 20 + 1))).toThrow('at most');
  });
});

test('any text is a template or is refused, and never anything else', () => {
  const piece = fc.constantFrom(
    '${{',
    '}}',
    ' ',
    '(',
    ')',
    '"',
    '`',
    '$',
    '.',
    '|',
    ':=',
    'if',
    'end',
    'range',
    'x',
    '1',
    '-',
    '/*',
    '*/',
    'eq',
    'repository',
    'else',
    ',',
    '\\',
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(piece, fc.string()), { maxLength: 30 }), (pieces) => {
      try {
        expect(typeof render(pieces.join(''))).toBe('string');
      } catch (error) {
        expect(error).toMatchObject({ code: 'template_invalid' });
      }
    }),
    { numRuns: 2_000 },
  );
});

test('a text without delimiters is itself', () => {
  fc.assert(fc.property(fc.string(), (text) => text.includes('${{') || render(text) === text));
});

describe('a glob', () => {
  test.each([
    ['*', 'a/b', true],
    ['a/*', 'a/b/c', true],
    ['a/**/c', 'a/b/c', true],
    ['a?c', 'a/c', true],
    ['[a-c]x', 'bx', true],
    ['[!a-c]x', 'bx', false],
    ['{a,b*}c', 'bbbc', true],
    ['{a,{b,c}}d', 'cd', true],
    ['\\*', '*', true],
    ['\\*', 'a', false],
    ['', '', true],
    ['a', 'ab', false],
  ])('%s and %s: %s', (pattern, text, expected) => {
    expect(matchesGlob(text, pattern)).toBe(expected);
  });

  test('takes no time that grows with powers of its stars', () => {
    expect(matchesGlob('a'.repeat(5_000), `${'*a'.repeat(100)}b`)).toBe(false);
  });
});

test('any text is one word of a shell', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(shellWords(shellWord(text))).toEqual([text]);
      expect(shellWordOnce(shellWord(text))).toBe(shellWord(text));
    }),
  );
});
