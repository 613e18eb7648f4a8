import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { shownBlock } from '../readme.ts';
import { type Outcome, runProgram, Stack } from '../stack.ts';

const root = join(import.meta.dirname, '../..');
const readme = readFileSync(join(root, 'README.md'), 'utf8');

/** Replaces all figures by N, and leaves out the definition, which has a test of its own. */
const shapeOf = (block: string) =>
  block
    .split('\n')
    .filter((line) => !line.startsWith('   '))
    .map((line) => line.replaceAll(/\d[\d,.]*/g, 'N').replaceAll(/[KMG]iB/g, 'iB'));

/** Programs that must not be needed: npm and Debian packages are enough. */
const forbidden = [
  'go',
  'cargo',
  'rustc',
  'python',
  'python3',
  'pip',
  'pip3',
  'java',
  'javac',
  'mvn',
  'docker',
  'podman',
];

let stack: Stack;
let demo: Outcome;
/** File to which a call of a forbidden program is written. */
let called: string;
beforeAll(async () => {
  stack = await Stack.make({ fresh: true });
  called = join(stack.state, 'called');
  const traps = join(stack.state, 'traps');
  mkdirSync(traps);
  for (const name of forbidden)
    writeFileSync(join(traps, name), `#!/bin/sh\necho ${name} >> ${called}\nexit 1\n`, { mode: 0o755 });
  const env = { FUMEHOOD_STATE: stack.state, PATH: `${traps}:${process.env.PATH}` };
  demo = await runProgram(['npm', 'run', '--silent', 'demo'], { env });
});
afterAll(() => stack.stop());

describe('npm run demo', () => {
  test('prints the report that the README shows', () => {
    expect(demo.code, demo.stderr).toBe(0);
    expect(shapeOf(shownBlock())).toEqual(shapeOf(demo.stdout.trim()));
  });

  test('needs no other language and no container engine', () => {
    expect(demo.code).toBe(0);
    expect(existsSync(called)).toBe(false);
  });

  test('finds no credential and leaves nothing behind', () => {
    for (const block of [demo.stdout, shownBlock()]) {
      expect(block).toContain('credentials held: 0 ');
      const [, left = ''] = /^left over +(.*)$/m.exec(block) ?? [];
      expect(left.match(/\d+/g)).toEqual(['0', '0', '0', '0', '0', '0']);
    }
  });

  test('prints each phase when it happens, and the output of the indexer', () => {
    const patterns = [
      /▸ workspace/,
      /✓ image/,
      /▸ indexer/,
      /done \/data\/packages\/base/,
      /✓ indexer/,
      /✓ destroyed/,
    ];
    const places = patterns.map((pattern) => demo.stderr.search(pattern));
    expect(places).toEqual(places.toSorted((a, b) => a - b));
    expect(places[0]).toBeGreaterThanOrEqual(0);
  });

  test('prints a definition that is correct', () => {
    const [, path = '', line = ''] = /is defined in (\S+):(\d+)$/m.exec(demo.stdout) ?? [];
    const shown = execFileSync('git', ['-C', root, 'show', `HEAD:${path}`], { encoding: 'utf8' }).split('\n');
    expect(demo.stdout).toContain(`\n             ${(shown[Number(line) - 1] as string).trim()}\n`);
  });
});

test('every file that the README names exists', () => {
  const named = [...readme.matchAll(/`((?:test|packages|docs)\/[^`]+)`|\]\(([^)]+)\)/g)];
  expect(named.length).toBeGreaterThan(10);
  for (const [, code, link] of named)
    expect(existsSync(join(root, code ?? link ?? '')), code ?? link).toBe(true);
});
