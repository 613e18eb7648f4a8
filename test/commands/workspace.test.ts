import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import { openRepository } from '../../packages/fumehood/src/demo/repository.ts';
import { writeClientPackage } from '../../packaging/client.ts';
import { type Outcome, runProgram, Stack } from '../stack.ts';

let stack: Stack;
let image: string;
let directory: string;

beforeAll(async () => {
  stack = await Stack.make();
  image = `docker-archive:${(await busyboxImage(stack.state, 'plain')).file}`;
  const up = await stack.fumehood(['up']);
  expect(up.code, up.stderr).toBe(0);
  directory = mkdtempSync(join(tmpdir(), 'fumehood-workspace-'));
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b', ...args], { cwd: directory });
  git('init', '-q');
  writeFileSync(join(directory, '.gitignore'), 'ignored\n');
  writeFileSync(join(directory, 'run'), '#!/bin/sh\necho ran in $PWD\n');
  chmodSync(join(directory, 'run'), 0o755);
  git('add', '-A');
  git('commit', '-q', '-m', 'one');
  writeFileSync(join(directory, 'ignored'), 'not sent');
  mkdirSync(join(directory, 'sub'));
  writeFileSync(join(directory, 'sub/new'), 'not tracked yet\n');
  symlinkSync('/etc/passwd', join(directory, 'link'));
});
afterAll(async () => {
  rmSync(directory, { recursive: true, force: true });
  await stack.stop();
});

const run = (...args: string[]) => {
  const size = ['--accept', 'vm-emulated', '--memory', '256', '--scratch', '256'];
  return stack.fumehood(['run', ...size, ...args], { cwd: directory });
};

test('a command starts in a copy of a local directory, without what git ignores, and with links as links', async () => {
  const script = './run; find . | sort; readlink link; cat sub/new';
  const ended = await run('--dir', '.', image, '--', 'sh', '-c', script);
  expect(ended.stderr.replace(/^sending the image .*\n/, '')).toBe('');
  expect(ended.stdout).toBe(
    'ran in /data\n.\n./.gitignore\n./link\n./run\n./sub\n./sub/new\n/etc/passwd\nnot tracked yet\n',
  );
  expect(ended.code).toBe(0);
});

test('a command starts in a repository of the instance at a commit, which has to be there', async () => {
  const repository = await openRepository(directory, 'HEAD', '');
  const { name, commit } = repository;
  const refused = await run('--repo', name, '--commit', commit, image, '--', 'ls', '-A');
  expect(refused).toMatchObject({ code: 1, stdout: '' });
  expect(refused.stderr).toContain(`the instance does not have commit ${commit} of ${name}`);
  await stack.client().putPack(name, commit, repository.pack());
  const ended = await run('--repo', name, '--commit', commit, image, '--', 'ls', '-A');
  expect(ended).toMatchObject({ code: 0, stdout: '.git\n.gitignore\nrun\n' });
});

test('what a command leaves is brought back, also when it failed, without links', async () => {
  const script =
    'mkdir -p out/deep; cat sub/new > out/deep/report; ln -s /etc/passwd out/link; echo x > one; exit 3';
  const paths = ['--out', 'out', '--out', './one', '--out', 'none', '--out-dir', 'ignored.d'];
  const ended = await run('--dir', '.', ...paths, image, '--', 'sh', '-c', script);
  expect(ended).toMatchObject({ code: 3, stdout: '' });
  expect(ended.stderr.split('\n').filter((line) => !line.startsWith('sending'))).toEqual([
    expect.stringContaining('left out out/link'),
    expect.stringContaining('has not brought back none'),
    '',
  ]);
  const at = (path: string) => join(directory, 'ignored.d', path);
  expect(readFileSync(at('out/deep/report'), 'utf8')).toBe('not tracked yet\n');
  expect(readFileSync(at('one'), 'utf8')).toBe('x\n');
  expect(existsSync(at('out/link'))).toBe(false);
});

test('a command that succeeds without leaving what it has to bring back fails, with the path', async () => {
  const ended = await run('--out', 'reports', image, '--', 'pwd');
  expect(ended).toMatchObject({ code: 125, stdout: '/data\n' });
  expect(ended.stderr).toContain('reports cannot be collected from the workspace');
});

describe('a program that uses the library as it is published', () => {
  let root: string;
  let environment: Record<string, string>;

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'fumehood-library-'));
    await writeClientPackage(join(root, 'node_modules/@fumehood/client'));
    environment = {
      FUMEHOOD_URL: `unix:${join(stack.state, 'run/instance/socket')}`,
      FUMEHOOD_TOKEN: readFileSync(join(stack.state, 'run/token'), 'utf8').trim(),
      IMAGE: image,
    };
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  function runProgramOf(program: string): Promise<Outcome> {
    const file = join(root, 'program.mjs');
    writeFileSync(file, program);
    return runProgram([process.execPath, file], { env: environment, cwd: root });
  }

  test('may be the example of its README as it is written', async () => {
    const readme = readFileSync(join(root, 'node_modules/@fumehood/client/README.md'), 'utf8');
    const [, example = ''] = /^```js\n(.*?)^```$/ms.exec(readme) ?? [];
    expect(await runProgramOf(example)).toEqual({
      code: 0,
      stdout: expect.stringMatching(/^from the host\nLinux\n ended with 0 in a VM of tier vm-\w+\n$/),
      stderr: '',
    });
  });

  test('runs commands in a copy of a directory, and cancels one whose signal is aborted', async () => {
    mkdirSync(join(root, 'work'));
    writeFileSync(join(root, 'work/file'), 'sent\n');
    const ended = await runProgramOf(`
      import { run } from '@fumehood/client';
      const size = { memoryMiB: 256, scratchMiB: 256, accept: ['vm-emulated'], image: process.env.IMAGE };
      const { exitCode, stdout, stderr, job } = await run({
        ...size, dir: 'work', env: { MINE: 'mine' }, command: ['sh', '-c', 'cat file; echo "$MINE" >&2; exit 3'],
      });
      console.log(JSON.stringify({ exitCode, stdout, stderr, state: job.state, tier: job.tier }));
      const controller = new AbortController();
      const canceled = run({
        ...size, command: ['sh', '-c', 'trap "exit 1" TERM; echo started; while :; do sleep 0.1; done'], signal: controller.signal,
        onOutput: (stream, bytes) => { console.log(stream, new TextDecoder().decode(bytes).trim()); controller.abort(new Error('enough')); },
      });
      await canceled.catch((error) => console.log(error.message));
      const failed = run({ ...size, command: ['no-such-program'] });
      await failed.catch((error) => console.log(error.name, error.code));
    `);
    expect(ended.stderr).toBe('');
    expect(ended.stdout.trimEnd().split('\n')).toEqual([
      '{"exitCode":3,"stdout":"sent\\n","stderr":"mine\\n","state":"failed","tier":"vm-emulated"}',
      'stdout started',
      'enough',
      'FumehoodError step_not_started',
    ]);
    await expect.poll(() => stack.jobFiles(), { timeout: 5_000 }).toEqual([]);
  });
});
