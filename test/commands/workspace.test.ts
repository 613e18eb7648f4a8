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
import { afterAll, beforeAll, expect, test } from 'vitest';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import { openRepository } from '../../packages/fumehood/src/demo/repository.ts';
import { Stack } from '../stack.ts';

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
