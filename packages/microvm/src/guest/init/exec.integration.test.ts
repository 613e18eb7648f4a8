import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { compiled } from './testing/compile.ts';

const runner = compiled('exec', ['exec.c']);
let root: string;
const at = (name: string) => join(root, name);
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'fumehood-exec-'));
  mkdirSync(at('later'));
  const files: [name: string, text: string, mode?: number][] = [
    ['missing', '#!/no/such/sh -e\n'],
    ['crlf', '#!/bin/sh\r\necho never\r\n'],
    ['chain', `#!${at('missing')}\n`],
    ['loop', `#!${at('loop')}\n`],
    ['locked', `#!${at('plain')}\n`],
    ['plain', 'text', 0o644],
    ['empty', '#!\n'],
    ['good', '#! /bin/sh -e\necho "$0 $1"\n'],
    ['later/missing', '#!/bin/sh\necho later\n'],
  ];
  for (const [name, text, mode = 0o755] of files) {
    writeFileSync(at(name), text);
    chmodSync(at(name), mode);
  }
  const linker = '-Wl,--dynamic-linker=/no/such/ld.so';
  execFileSync('gcc', ['-x', 'c', '-', linker, '-o', at('dynamic')], {
    input: 'int main(void) { return 0; }',
  });
});
afterAll(() => rmSync(root, { recursive: true }));

/** Executes a program with this PATH, and returns its exit code and what it or the failure prints. */
function exec(program: string, path = '/nonexistent'): string {
  const { status, stdout, stderr } = spawnSync(runner.path, [path, program, 'argument'], {
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  return `${status} ${stdout.trimEnd().replaceAll(root, '')}`;
}

const absent = 'not found in the image';
it.each([
  ['missing', `127 exec /missing: its interpreter /no/such/sh: ${absent}`],
  ['dynamic', `127 exec /dynamic: its interpreter /no/such/ld.so: ${absent}`],
  ['chain', `127 exec /chain: its interpreter /no/such/sh: ${absent}`],
  [
    'crlf',
    `127 exec /crlf: its interpreter /bin/sh\\r: ${absent}; its first line ends with CR LF, write LF alone`,
  ],
  ['locked', '126 exec /locked: its interpreter /plain: Permission denied'],
  ['plain', '126 exec /plain: Permission denied'],
  ['empty', '126 exec /empty: Exec format error'],
  ['nowhere', `127 exec /nowhere: ${absent}`],
  ['plain/below', '126 exec /plain/below: Not a directory'],
  ['later', '126 exec /later: Permission denied'],
  ['good', '0 /good argument'],
])('a program says why it cannot be executed: %s', (name, expected) => {
  expect(exec(at(name))).toBe(expected);
});

it('a program that is found by its name says so too, unless a later one can be executed', () => {
  expect(exec('missing', root)).toBe(`127 exec /missing: its interpreter /no/such/sh: ${absent}`);
  expect(exec('plain', `/nonexistent:${root}`)).toBe('126 exec /plain: Permission denied');
  expect(exec('nowhere', root)).toBe(`127 exec nowhere: ${absent}`);
  expect(exec('missing', `${root}:${at('later')}`)).toBe('0 later');
});

it('interpreters that name each other end', () => {
  expect(exec(at('loop'))).toMatch(/^126 exec \/loop: .*Too many levels of symbolic links$/);
});
