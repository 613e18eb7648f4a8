import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readDiff } from './read.ts';

let root: string;
const git = (...args: string[]) =>
  execFileSync('git', ['-C', root, '-c', 'user.name=t', '-c', 'user.email=t@t', ...args], {
    env: { PATH: process.env.PATH, GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null' },
    maxBuffer: 2 ** 26,
  });
const write = (name: string, contents: string | Buffer, mode = 0o644) => {
  mkdirSync(join(root, name, '..'), { recursive: true });
  rmSync(join(root, name), { force: true });
  writeFileSync(join(root, name), contents, { mode });
};

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'fumehood-diff-'));
  git('init', '-q');
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

it('reads every kind of change as git says it', () => {
  const lines = Array.from({ length: 50 }, (_, at) => `line ${at}\n`);
  const noise = Buffer.from(Array.from({ length: 5_000 }, (_, at) => (at * 7_919) % 251));
  for (const name of ['plain', 'with space', 'ü', 'q"uote', 'tab\there', 'moved', 'gone', 'run', 'typed'])
    write(name, [name, ...lines].join('\n'));
  write('noise', noise);
  write('no-newline', 'a\nb');
  git('add', '-A');
  git('commit', '-qm', 'c');
  for (const name of ['plain', 'with space', 'ü', 'q"uote', 'tab\there'])
    write(name, [name, 'more', ...lines.toSpliced(3, 1), '-- x', '++ y', '@@ z'].join('\n'));
  mkdirSync(join(root, 'dir with space'));
  renameSync(join(root, 'moved'), join(root, 'dir with space', 'moved "x"'));
  write('run', 'x\n', 0o755);
  for (const name of ['gone', 'typed']) rmSync(join(root, name));
  symlinkSync('dir with space', join(root, 'typed'));
  write('noise', Buffer.concat([noise.subarray(0, 2_500), Buffer.from([0, 1, 2]), noise.subarray(2_500)]));
  write('new noise', noise.subarray(0, 900));
  write('empty', '');
  write('no-newline', 'a\nc');
  git('add', '-A');
  const diff = git('diff', '--cached', '--no-prefix', '--binary', 'HEAD');
  const raw = git('diff', '--cached', '--raw', '-z', '-M', 'HEAD').toString().split('\0');
  const kinds = { M: 'modified', A: 'added', D: 'deleted', R: 'renamed', T: 'typed' } as const;
  const expected: string[] = [];
  for (let at = 0; at + 1 < raw.length; ) {
    const kind = kinds[(raw[at++] ?? '').split(' ')[4]?.[0] as keyof typeof kinds];
    const path = raw[at++] ?? '';
    if (kind === 'typed') expected.push(`deleted ${path}`, `added ${path}`);
    else expected.push(kind === 'renamed' ? `renamed ${path} ${raw[at++] ?? ''}` : `${kind} ${path}`);
  }
  const files = readDiff(diff);
  const read = files.map(({ kind, oldPath, path }) =>
    kind === 'renamed' ? `${kind} ${oldPath} ${path}` : `${kind} ${path}`,
  );
  expect(read.toSorted()).toEqual(expected.toSorted());
  const counts = git('diff', '--cached', '--shortstat', 'HEAD').toString();
  const sum = (of: (file: (typeof files)[number]) => number) =>
    files.reduce((all, file) => all + of(file), 0);
  expect(counts).toContain(`${sum(({ addedLines }) => addedLines)} insertions`);
  expect(counts).toContain(`${sum(({ deletedLines }) => deletedLines)} deletions`);
  expect(files.filter(({ binary }) => binary).map(({ path }) => path)).toEqual(['new noise', 'noise']);
});
