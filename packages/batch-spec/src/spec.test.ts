import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cacheKey, type StepInputs } from './cache-key.ts';
import { parseBatchSpec } from './parse.ts';
import { batchSpecJsonSchema } from './spec.ts';

const template = 'changesetTemplate: {title: t, branch: b, commit: {message: m}}';

describe('a batch spec', () => {
  test('of version 2 is read with all of its parts', () => {
    const spec = parseBatchSpec(`version: 2
name: grp
description:
on:
  - repository: github.com/acme/api
    branches: [main, release/1]
  - repositoriesMatchingQuery: file:README.md
workspaces:
  - {rootAtLocationOf: package.json, in: github.com/acme/*, onlyFetchWorkspace: true}
steps:
  - run: echo hi
    container: alpine:3
    env: [TOKEN, {LEVEL: debug}]
    files: {a.txt: x}
    outputs: {cfg: {value: "\${{ step.stdout }}", format: json}}
    if: \${{ eq repository.name "x" }}
    mount: [{path: ./fix.sh, mountpoint: /tmp/fix.sh}]
importChangesets: [{repository: github.com/acme/legacy, externalIDs: [12, "34"]}]
transformChanges:
  group: [{directory: go, branch: grp-go}]
changesetTemplate:
  title: T
  branch: grp
  commit: {message: m, author: {name: Ann, email: ann@example.com}}
  published: [{"*": draft}, {"github.com/acme/*@grp-go": true}]
`);
    expect(spec).toMatchObject({
      version: 2,
      name: 'grp',
      steps: [{ env: ['TOKEN', { LEVEL: 'debug' }], outputs: { cfg: { format: 'json' } } }],
      importChangesets: [{ externalIDs: ['12', '34'] }],
      changesetTemplate: { published: [{ '*': 'draft' }, { 'github.com/acme/*@grp-go': true }] },
    });
    expect(spec.description).toBeUndefined();
  });

  test('may be JSON', () => {
    expect(parseBatchSpec('{"name": "a", "on": null}')).toEqual({ name: 'a' });
  });

  test.each([
    ['name: has space\nfoo: 1\n', '1:7: name: The batch change name can only contain word characters'],
    ['foo: 1\nname: a', '1:1: Additional property foo is not allowed'],
    ['on: []', '1:1: name is required'],
    ['name: a\nsteps: [{run: x, container: y}]', 'batch spec includes steps but no changesetTemplate'],
    ['name: a\non: [{repository: x, branch: y, branches: [z]}]', '2:6: on.0: must have either `branch` or'],
    ['name: a\non: [{}]', '2:6: on.0: must have either `repository` or'],
    [`name: a\nsteps: [{run: 1, container: x}]\n${template}`, '2:15: steps.0.run: must be a text'],
    [
      `name: a\nsteps: [{run: x, container: y, files: {"a,b": c}}]\n${template}`,
      'steps.0.files.a,b: file name contains invalid characters: a comma',
    ],
    [
      `name: a\nsteps: [{run: x, container: x, mount: [{path: "a,b", mountpoint: c}]}]\n${template}`,
      'mount path contains invalid characters',
    ],
    [`name: a\nsteps: [{run: x, container: x, codingAgent: {}}]\n${template}`, 'property codingAgent'],
    ['name: a\nversion: 3', '2:10: version: must be 1 or 2'],
    [`name: a\nversion: 3\nsteps: [{run: x, image: y}]\n${template}`, '2:10: version: must be 1 or 2'],
    [
      `name: a\nversion: 3\n${template.replace('{message: m}', '{message: m}, published: true')}`,
      '2:10: version: must be 1 or 2',
    ],
    [`name: a\nsteps: [{run: x}]\n${template}`, '2:9: steps.0: container is required'],
    ['name: a\nchangesetHooks: {}', '2:1: Additional property changesetHooks'],
    [
      'name: a\ntransformChanges: {group: [{directory: d, branch: b, title: x}]}',
      'group.0: Additional property title',
    ],
    [
      'name: a\ntransformChanges: {group: [{directory: d, branch: b}, {directory: e, branch: b}]}',
      'transformChanges.group.1.branch: the branch b is that of another group',
    ],
    [
      `name: a\n${template.replace('{message: m}', '{message: m}, published: maybe')}`,
      'must be true, false, draft',
    ],
    ['name: a\nworkspaces: [{rootAtLocationOf: a/b}]', 'must be the name of a file'],
    ['name: a\nname: b', '2:1: the key name is there twice'],
    ['name: [', '1:8: '],
    ['- a', '1:1: must be a map'],
    ['', '1:1: name is required'],
  ])('%j is refused at its place: %s', (text, message) => {
    expect(() => parseBatchSpec(text)).toThrow(message);
  });

  test('with all that is wrong is refused at once', () => {
    try {
      parseBatchSpec('name: has space\nfoo: 1\n');
    } catch (error) {
      const { issues } = (error as { details: { issues: { path: string; line: number }[] } }).details;
      expect(issues.map(({ path, line }) => [path, line])).toEqual([
        ['name', 1],
        ['', 2],
      ]);
    }
    expect.assertions(1);
  });

  test('is read or refused, whatever the text', () => {
    const word = fc.constantFrom(
      'name: a\n',
      'steps:\n',
      '- ',
      '  ',
      'run: x\n',
      '{',
      '}',
      '[',
      ']',
      ':',
      '&a ',
      '*a',
      '<<: ',
      'on:\n',
      '|',
      '!!',
      '#',
      '"',
      'version: 2\n',
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(word, fc.string()), { maxLength: 20 }), (words) => {
        try {
          expect(parseBatchSpec(words.join('')).name).toMatch(/^[\w.-]+$/);
        } catch (error) {
          expect(error).toMatchObject({ code: 'batch_spec_invalid' });
        }
      }),
      { numRuns: 1_000 },
    );
  });

  test('that is huge or grows by its aliases is refused in bounded time', () => {
    expect(() => parseBatchSpec(`name: ${'a'.repeat(2 ** 20)}`)).toThrow('at most');
    const grows = Array.from({ length: 30 }, (_, n) => `a${n}: &a${n} [*a${n - 1}, *a${n - 1}]`);
    expect(() => parseBatchSpec(`name: a\na0: &a0 [x]\n${grows.slice(1).join('\n')}`)).toThrow('batch spec');
  });

  test('has a JSON Schema for editors (after a change: vitest --update)', async () => {
    const schema = batchSpecJsonSchema();
    expect(schema).toMatchObject({
      $schema: expect.stringContaining('draft-07') as string,
      required: ['name'],
      additionalProperties: false,
    });
    const file = join(import.meta.dirname, '../../../docs/batch-spec.schema.json');
    await expect(`${JSON.stringify(schema, null, 1)}\n`).toMatchFileSnapshot(file);
  });
});

describe('the key of a cached result', () => {
  const spec = parseBatchSpec(`version: 2
name: hello
description: Say hi
steps:
  - run: echo "Hello <World> & \${{ repository.name }}" >> README.md
    container: alpine:3
  - run: cat README.md
    container: alpine:3
    env: [TOKEN, {LEVEL: debug}]
    outputs: {readme: {value: "\${{ step.stdout }}", format: text}}
    if: \${{ eq repository.name "github.com/acme/api" }}
${template}
`);
  const inputs: StepInputs = {
    repository: {
      id: 'UmVwb3NpdG9yeTox',
      name: 'github.com/acme/api',
      baseRef: 'refs/heads/main',
      baseRev: '0123456789abcdef0123456789abcdef01234567',
      fileMatches: [],
    },
    path: '',
    onlyFetchWorkspace: false,
    batchChange: { name: 'hello', description: 'Say hi' },
    steps: spec.steps ?? [],
    outer: {},
    mounts: [],
  };
  const matching = (fileMatches: readonly string[] | null) => ({ ...inputs.repository, fileMatches });

  // The `src` command line derives these keys.
  test.each<[what: string, changes: Partial<StepInputs>, step: number, key: string]>([
    ['of the first step', {}, 0, 'XkwUWrpShbwexKwA4H4QDA'],
    ['of a step whose secret is missing', {}, 1, '6d__gmIDscl0g8XW6fZ1Cg'],
    ['of a step with a secret', { outer: { TOKEN: 'sekret' } }, 1, 'KumLZ2Dh0qLQ_TKKeBhd7w'],
    ['without a search', { repository: matching(null) }, 0, 'Z_zw4eacS1AihRlNIA6DHw'],
    [
      'of a workspace with files that a search found',
      { repository: matching(['b', 'a']), path: 'svc', onlyFetchWorkspace: true },
      0,
      'zVGg646-YJ9DSp9PqK0_ow',
    ],
  ])('%s is that of the src command line', (_, changes, step, key) => {
    expect(cacheKey({ ...inputs, ...changes }, step)).toBe(`${key}-step-${step}`);
  });

  const sole = (step: string) => parseBatchSpec(`name: hello\nsteps: [${step}]\n${template}`).steps ?? [];
  const found = { ...inputs, repository: matching(['README.md']) };

  test('depends on what the steps mount', () => {
    const steps = sole(
      '{run: cat /tmp/fix.sh, container: "alpine:3", mount: [{path: fix.sh, mountpoint: /tmp/fix.sh}, {path: dir, mountpoint: /tmp/dir}]}',
    );
    const mounts = [
      { path: 'fix.sh', size: 23, modified: '2024-01-02T03:04:05.678Z' },
      { path: 'dir/d.txt', size: 2, modified: '2024-01-02T03:04:05Z' },
      { path: 'dir/sub/s.txt', size: 2, modified: '2024-01-02T03:04:05Z' },
    ];
    expect(cacheKey({ ...found, steps, mounts }, 0)).toBe('c05lzJtL4n0G6yPbkdgT1w-step-0');
  });

  test('does not depend on the variables of an executor', () => {
    const steps = sole(
      '{run: "echo $TOKEN $SRC_EXECUTOR_JOB_TOKEN", container: "alpine:3", env: [TOKEN, MISSING, SRC_EXECUTOR_JOB_TOKEN, {A: "${{ repository.name }}"}]}',
    );
    const outer = { TOKEN: 'sekret', SRC_EXECUTOR_JOB_TOKEN: 'x' };
    expect(cacheKey({ ...found, steps, outer }, 0)).toBe('cGHjn3NDz6AlVRBLAup7dg-step-0');
  });
});
