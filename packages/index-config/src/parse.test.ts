import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { FumehoodError } from '@fumehood/base';
import { configBytesMax, parseIndexConfig } from './parse.ts';

const job = {
  steps: [],
  local_steps: [],
  root: '',
  indexer: 'i',
  indexer_args: ['x'],
  outfile: 'index.scip',
  requestedEnvVars: [],
};

test.each<[string, string, object[]]>([
  ['nothing', '', []],
  ['no jobs', 'index_jobs: []', []],
  ['YAML', 'index_jobs:\n  - indexer: i\n    indexer_args: [x]\n', [job]],
  [
    'JSON with comments and trailing commas',
    '// jobs\n{"index_jobs": [/* one */ {"indexer": "i", "indexer_args": ["x"],},],}',
    [job],
  ],
  [
    'a comment that is a text',
    '{"index_jobs": [{"indexer": "i", "indexer_args": ["//x"]}]}',
    [{ ...job, indexer_args: ['//x'] }],
  ],
  ['the older name of the list', 'indexing_jobs: [{indexer: i, indexer_args: [x]}]', [job]],
  [
    'the older name of secrets',
    'index_jobs: [{indexer: i, indexer_args: [x], requested_envvars: [A]}]',
    [{ ...job, requestedEnvVars: ['A'] }],
  ],
  [
    'a root in another spelling',
    'index_jobs: [{indexer: i, indexer_args: [x], root: ./a/}]',
    [{ ...job, root: 'a' }],
  ],
  [
    'steps',
    'index_jobs: [{indexer: i, indexer_args: [x], steps: [{image: n, commands: [npm ci]}]}]',
    [{ ...job, steps: [{ root: '', image: 'n', commands: ['npm ci'] }] }],
  ],
])('an index configuration with %s is read', (_, text, jobs) => {
  expect(parseIndexConfig(text, 'f')).toEqual(jobs);
});

test.each([
  ['a file that is no YAML', 'index_jobs: [', /^f:1:\d+: /],
  [
    'a key that is there twice',
    'index_jobs:\n  - indexer: a\n    indexer: b\n',
    /^f:3:5: the key indexer is there twice$/,
  ],
  ['an unknown field', 'index_jobs:\n  - indexer: a\n    colour: b\n', /^f:2:5: index_jobs\.0: .*colour/],
  [
    'a root outside',
    'index_jobs:\n  - indexer: a\n    root: ../b\n',
    /^f:3:11: index_jobs\.0\.root: must be a path below/,
  ],
  ['a root in .git', 'index_jobs: [{indexer: a, root: .git/hooks}]', /must be a path below/],
  [
    'an alias bomb',
    `a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nindex_jobs: [*c,*c,*c]`,
    /^f/,
  ],
  ['a text that is too long', ' '.repeat(configBytesMax + 1), /^f: has more than 262144 bytes$/],
  ['a text instead of a map', 'hello', /^f.*: the configuration: /],
])('%s is refused with its place', (_, text, message) => {
  expect(() => parseIndexConfig(text, 'f')).toThrow(
    expect.objectContaining({
      code: 'index_config_invalid',
      message: expect.stringMatching(message) as string,
    }),
  );
});

test('any text is read or refused with a code', () => {
  const token = fc.constantFrom(
    'index_jobs',
    ':',
    '\n',
    '  ',
    '- ',
    '{',
    '}',
    '[',
    ']',
    ',',
    '"',
    '&a',
    '*a',
    '//',
    '/*',
    'indexer',
    '? ',
    '!!map',
    '<<',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(token, { maxLength: 30 }).map((some) => some.join('')),
      ),
      (text) => {
        try {
          parseIndexConfig(text, 'f');
        } catch (error) {
          expect(error).toBeInstanceOf(FumehoodError);
        }
      },
    ),
  );
});

test('a map with many keys is read in a time that grows with its size alone', () => {
  const text = Array.from({ length: 20_000 }, (_, n) => `k${n}: 1`).join('\n');
  expect(() => parseIndexConfig(text, 'f')).toThrow('Unrecognized key');
});
