import type { Client } from '@fumehood/client';
import { CommanderError } from 'commander';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { makeProgram } from '../../program.ts';

const commit = 'c'.repeat(40);
const answer = { repository: 'acme/greeter', commit, precision: 'exact', indexedCommit: commit, next: null };
const place = {
  ...{ repository: 'acme/greeter', commit, path: 'src/a.ts', line: 3, character: 2 },
  ...{ endLine: 3, endCharacter: 7, symbol: 'greet', upload: 1, package: null },
};
const elsewhere = { ...place, repository: 'acme/other', commit: 'd'.repeat(40), line: 0, character: 0 };

/** What the instance answers, by the question, and what it was asked. */
let answers: Record<string, object>;
let asked: [question: string, query: unknown][];
const client = {
  code: new Proxy(
    {},
    {
      get: (_, question: string) => async (query: unknown) => {
        asked.push([question, query]);
        return answers[question];
      },
    },
  ),
} as unknown as Client;
vi.mock('../../up/running.ts', () => ({ runningClient: async () => client }));

let printed: { stdout: string; stderr: string };
beforeEach(() => {
  vi.stubEnv('FUMEHOOD_STATE', '/nonexistent');
  asked = [];
  printed = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      printed[name] += String(text);
      return true;
    });
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  process.exitCode = 0;
});

/** Runs a command, and returns what it printed and its exit code. */
async function code(...args: string[]) {
  await makeProgram().parseAsync(['node', 'fumehood', 'code', ...args]);
  return { ...printed, code: process.exitCode ?? 0 };
}

describe('fumehood code', () => {
  it('counts from 1, and asks from 0', async () => {
    answers = { definition: { ...answer, locations: [place] } };
    const { stdout, stderr } = await code('def', 'acme/greeter', 'src/b.ts:1:20', '--revision', 'main');
    expect({ stdout, stderr }).toEqual({ stdout: 'src/a.ts:4:3  greet\n', stderr: '' });
    const query = { repository: 'acme/greeter', path: 'src/b.ts', line: 0, character: 19, revision: 'main' };
    expect(asked).toEqual([['definition', query]]);
  });

  it('shows before a place in which repository, commit or package it is, unless in that of the question', async () => {
    const older = { ...place, commit: 'e'.repeat(40) };
    const dependency = { ...elsewhere, package: { manager: 'npm', name: 'lodash', version: '4.17.21' } };
    answers = { definition: { ...answer, locations: [place, older, elsewhere, dependency] } };
    expect((await code('def', 'acme/greeter', 'a:1:1')).stdout.split('\n')).toEqual([
      'src/a.ts:4:3  greet',
      'acme/greeter@eeeeeeeeeeee src/a.ts:4:3  greet',
      'acme/other@dddddddddddd src/a.ts:1:1  greet',
      'npm lodash@4.17.21 src/a.ts:1:1  greet',
      '',
    ]);
  });

  it.each([
    ['refs', 'references'],
    ['implementations', 'implementations'],
  ])('%s asks for a page, and says on stderr how to get the next one', async (command, question) => {
    answers = { [question]: { ...answer, locations: [place], next: 'abc' } };
    const page = ['--limit', '1', '--after', 'xyz'];
    const { stdout, stderr } = await code(command, 'acme/greeter', 'a:1:1', ...page);
    expect({ stdout, stderr }).toEqual({
      stdout: 'src/a.ts:4:3  greet\n',
      stderr: 'there is more: --after abc\n',
    });
    expect(asked).toMatchObject([[question, { limit: 1, after: 'xyz' }]]);
  });

  it('callers shows each reference, and below it the definition around it, if one is known', async () => {
    const caller = { ...place, line: 0, character: 9, symbol: 'acme run().', name: 'run' };
    answers = {
      callers: {
        ...answer,
        callers: [
          { at: place, caller },
          { at: elsewhere, caller: null },
        ],
      },
    };
    const lines = [
      'src/a.ts:4:3  greet',
      '  in src/a.ts:1:10  run',
      'acme/other@dddddddddddd src/a.ts:1:1  greet',
    ];
    expect((await code('callers', 'acme/greeter', 'a:1:1')).stdout).toBe(`${lines.join('\n')}\n`);
  });

  it('hover and symbols show what is known', async () => {
    answers = {
      hover: { ...answer, hover: { symbol: 's', text: '```ts\n\nfunction f()\n```', range: place } },
      symbols: { ...answer, symbols: [{ ...place, name: 'greet', kind: 'method' }] },
    };
    expect((await code('hover', 'acme/greeter', 'a:1:1')).stdout).toBe('  ```ts\n\n  function f()\n  ```\n');
    printed.stdout = '';
    expect((await code('symbols', 'acme/greeter', 'src/a.ts')).stdout).toBe('src/a.ts:4:3  method greet\n');
  });

  it.each([
    ['nearby', /^the index of the earlier commit cccccccccccc answers[^\n]*\n$/],
    ['guess', /^no index covers this[^\n]*is a guess\n$/],
  ])('says on stderr that an answer is %s', async (precision, expected) => {
    answers = { definition: { ...answer, precision, locations: [place] } };
    const { stdout, stderr, code: exit } = await code('def', 'acme/greeter', 'a:1:1');
    expect(stderr).toMatch(expected);
    expect({ stdout, exit }).toEqual({ stdout: 'src/a.ts:4:3  greet\n', exit: 0 });
  });

  it('says that a search found nothing where no index covers the file', async () => {
    answers = { definition: { ...answer, precision: 'guess', locations: [] } };
    const { stderr, code: exit } = await code('def', 'acme/greeter', 'a:1:1');
    expect({ stderr, exit }).toEqual({
      stderr: 'no index covers this, and a search for the word there, if there is one, found nothing\n',
      exit: 1,
    });
  });

  it('prints the answer of the API with --json', async () => {
    answers = { definition: { ...answer, precision: 'guess', locations: [place] } };
    const { stdout } = await code('def', 'acme/greeter', 'a:1:1', '--json');
    expect(JSON.parse(stdout)).toEqual(answers.definition);
  });

  it.each([
    ['def', 'definition', { locations: [] }],
    ['refs', 'references', { locations: [] }],
    ['implementations', 'implementations', { locations: [] }],
    ['callers', 'callers', { callers: [] }],
    ['hover', 'hover', { hover: null }],
    ['symbols', 'symbols', { symbols: [] }],
  ])('%s says that there is no answer, and exits with 1', async (command, question, empty) => {
    answers = { [question]: { ...answer, ...empty } };
    const args = [command, 'acme/greeter', command === 'symbols' ? 'a' : 'a:1:1'];
    const { stdout, stderr, code: exit } = await code(...args);
    expect({ stdout, exit }).toEqual({ stdout: '', exit: 1 });
    expect(stderr).toMatch(/^[^\n]*(no|nothing)[^\n]*\n$/);
    expect(JSON.parse((await code(...args, '--json')).stdout)).toEqual(answers[question]);
  });

  it.each([
    ['a place without a column', ['def', 'acme/greeter', 'src/a.ts:1'], 'PATH:LINE:COLUMN'],
    ['a line 0', ['refs', 'acme/greeter', 'src/a.ts:0:1'], 'counted from 1'],
    ['a place without a path', ['hover', 'acme/greeter', ':1:1'], 'PATH:LINE:COLUMN'],
    ['a repository that is none', ['symbols', '../etc', 'a'], 'letters, digits'],
    ['a revision that is an option', ['def', 'acme/greeter', 'a:1:1', '--revision=-x'], 'must be a branch'],
    ['too large a page', ['callers', 'acme/greeter', 'a:1:1', '--limit', '501'], 'from 1 to 500'],
    ['a page of a definition', ['def', 'acme/greeter', 'a:1:1', '--limit', '5'], "unknown option '--limit'"],
    ['no path', ['symbols', 'acme/greeter'], "missing required argument 'path'"],
  ])('refuses %s, and asks nothing', async (_, args, expected) => {
    await expect(code(...args)).rejects.toBeInstanceOf(CommanderError);
    expect(printed.stderr).toContain(expected);
    expect({ stdout: printed.stdout, asked }).toEqual({ stdout: '', asked: [] });
  });
});
