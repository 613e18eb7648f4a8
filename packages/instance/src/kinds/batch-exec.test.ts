import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { batchExecContent, type BatchExec } from './batch-exec.ts';

const diff = Buffer.from(
  'diff --git a.txt a.txt\nnew file mode 100644\n--- /dev/null\n+++ a.txt\n@@ -0,0 +1 @@\n+a\n',
);
const cached: BatchExec['cached'] = {
  ...{ step: 0, stdout: 'said', stderr: '', diff, outputs: { x: 1 } },
  changes: { modified: [], added: ['a.txt'], deleted: [], renamed: [] },
};
const exec: BatchExec = {
  ...{ input: { path: 'web', steps: [] }, skippedSteps: [], cached: null, helperImage: 'helper:1' },
  files: [{ path: 'tools/fix.sh', key: 'spec/file', modifiedAt: '2026-01-02T03:04:05Z' }],
};
const images = ['alpine:3', 'node:22', 'debian:12'];
const contentOf = (changes: Partial<BatchExec>, version: 1 | 2 = 2) =>
  batchExecContent({ ...exec, ...changes }, { version, images, dir: 'repository/web' });
const textOf = (content: ReturnType<typeof contentOf>, path: string) =>
  String(content.files[path]?.content ?? '');
const inputOf = (content: ReturnType<typeof contentOf>) =>
  JSON.parse(textOf(content, 'input.json')) as Record<string, unknown>;

const result = {
  ...{ version: 2, stdout: 'said', stderr: '', stepIndex: 0, diff: diff.toString('base64') },
  ...{ changedFiles: cached.changes, outputs: { x: 1 }, skipped: false },
};

describe('for an executor that runs src', () => {
  test('what steps have left is in the input, from the second payload on', () => {
    const content = contentOf({ cached, helperImage: null });
    expect(inputOf(content)).toEqual({
      ...exec.input,
      cachedStepResultFound: true,
      cachedStepResult: result,
    });
    expect(content).toMatchObject({ dockerSteps: [], cliSteps: [{ key: 'batch-exec' }] });
    expect(inputOf(contentOf({ cached }, 1))).toEqual({ ...exec.input, cachedStepResultFound: false });
    expect(contentOf({}, 1).cliSteps).toHaveLength(1);
  });
});

describe('for an executor that runs the helper', () => {
  test('each step that may run has one of the helper before it and one behind it', () => {
    const content = contentOf({ skippedSteps: [1] });
    expect(content.cliSteps).toBeNull();
    expect(content.dockerSteps?.map(({ key, image, dir }) => [key, image, dir])).toEqual([
      ['step.0.pre', 'helper:1', '.'],
      ['step.0.run', 'alpine:3', 'repository/web'],
      ['step.0.post', 'helper:1', '.'],
      ['step.2.pre', 'helper:1', '.'],
      ['step.2.run', 'debian:12', 'repository/web'],
      ['step.2.post', 'helper:1', '.'],
    ]);
    expect(content.files['workspace-files/tools/fix.sh']).toMatchObject({ key: 'spec/file' });
    expect(inputOf(content)).toEqual({ ...exec.input, cachedStepResultFound: false });
  });

  test('what steps have left is in files, and they do not run again', () => {
    const content = contentOf({ cached });
    expect(content.dockerSteps?.map(({ key }) => key)).toEqual([
      'apply-diff',
      ...['step.1.pre', 'step.1.run', 'step.1.post', 'step.2.pre', 'step.2.run', 'step.2.post'],
    ]);
    expect(JSON.parse(textOf(content, 'step0.json'))).toEqual(result);
    expect(textOf(content, 'state.diff')).toBe(String(diff));
    const unchanged = contentOf({ cached: { ...cached, diff: Buffer.alloc(0) } });
    expect(unchanged.dockerSteps?.[0]?.key).toBe('step.1.pre');
  });
});

describe('the lines that its executor runs', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'helper-'));
    mkdirSync(join(directory, 'repository/web'), { recursive: true });
    return () => rmSync(directory, { recursive: true });
  });
  const read = (path: string) => readFileSync(join(directory, path), 'utf8');
  /** Writes the files of a job, and runs the steps with these keys by a shell. */
  function run(content: ReturnType<typeof contentOf>, keys: readonly string[], shell = 'sh') {
    for (const [path, file] of Object.entries(content.files)) {
      mkdirSync(dirname(join(directory, path)), { recursive: true });
      writeFileSync(join(directory, path), file.content ?? 'mounted');
    }
    return keys.map((key) => {
      const step = content.dockerSteps?.find((one) => one.key === key);
      const { status, stdout, stderr } = spawnSync(shell, ['-c', (step?.commands ?? []).join('\n')], {
        cwd: join(directory, step?.dir ?? ''),
        env: { ...process.env, PATH: `${directory}/bin:${process.env.PATH}` },
        encoding: 'utf8',
      });
      return [status, stdout, stderr];
    });
  }

  test.each(['sh', 'bash'])('%s runs the script of a step, and copies what it prints', (shell) => {
    const content = contentOf({});
    writeFileSync(join(directory, 'step0.sh'), 'pwd; echo told >&2; exit 7');
    const [ended] = run(content, ['step.0.run'], shell);
    expect(ended).toEqual([7, `${directory}/repository/web\n`, 'told\n']);
    expect([read('stdout0.log'), read('stderr0.log')]).toEqual([`${directory}/repository/web\n`, 'told\n']);
    writeFileSync(join(directory, 'step0.sh'), 'true');
    expect(run(content, ['step.0.run'], shell)).toEqual([[0, '', '']]);
  });

  test('a step without a script was skipped: neither it nor what is behind it does anything', () => {
    expect(run(contentOf({}), ['step.0.run', 'step.0.post'])).toEqual([
      [0, '', ''],
      [0, '', ''],
    ]);
  });

  test('the helper is told of the mounted files before each step, although it removes those that it is told of behind it', () => {
    mkdirSync(join(directory, 'bin'));
    const helper = '#!/bin/sh\necho "$*"; [ -f "$4/tools/fix.sh" ] || exit 1\n[ $1 = pre ] || rm -r "$4"\n';
    writeFileSync(join(directory, 'bin/batcheshelper'), helper);
    chmodSync(join(directory, 'bin/batcheshelper'), 0o755);
    for (const step of [0, 1]) writeFileSync(join(directory, `step${step}.sh`), '');
    const keys = ['step.0.pre', 'step.0.post', 'step.1.pre', 'step.1.post'];
    const said = (text: string) => [0, `${text} -workspaceFiles ${directory}/`, ''];
    expect(
      run(contentOf({}), keys).map(([status, out, err]) => [
        status,
        String(out).replace(/\w+-files\n/, ''),
        err,
      ]),
    ).toEqual([said('pre 0'), said('post 0'), said('pre 1'), said('post 1')]);
    expect(existsSync(join(directory, 'post-files'))).toBe(false);
  });

  test('the diff of earlier steps is applied and staged', () => {
    execFileSync('git', ['init', '-q', 'repository'], { cwd: directory });
    expect(run(contentOf({ cached }), ['apply-diff'])).toEqual([[0, '', '']]);
    const status = execFileSync('git', ['status', '--porcelain'], { cwd: join(directory, 'repository') });
    expect(String(status)).toBe('A  a.txt\n');
  });
});
