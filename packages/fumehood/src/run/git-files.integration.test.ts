import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { gitFiles } from './git-files.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'fumehood-git-files-'));
  for (const path of ['sub/inner', 'nested']) mkdirSync(join(root, path), { recursive: true });
});
afterEach(() => rmSync(root, { recursive: true }));

const git = (...args: string[]) => execFileSync('git', args, { cwd: root });
const write = (path: string, text = '') => writeFileSync(join(root, path), text);

describe('the list of files by git', () => {
  it('has tracked and new files without ignored ones, and repositories inside of this one', async () => {
    git('init', '-q');
    git('init', '-q', 'nested');
    write('.gitignore', '*.o\n');
    for (const path of ['a', 'a.o', 'sub/b', 'sub/inner/c\n', 'sub/d.o', 'nested/e']) write(path);
    git('add', 'a', 'sub/b');
    expect([...((await gitFiles(root)) ?? [])].sort()).toEqual([
      ...['.gitignore', 'a', 'nested', 'sub/b', 'sub/inner/c\n'],
    ]);
    expect([...((await gitFiles(join(root, 'sub'))) ?? [])].sort()).toEqual(['b', 'inner/c\n']);
  });

  it('is undefined outside of a work tree, and for a directory that git ignores itself', async () => {
    expect(await gitFiles(root)).toBeUndefined();
    expect(await gitFiles(join(root, 'missing'))).toBeUndefined();
    git('init', '-q');
    write('.gitignore', 'sub/\n*.o\n');
    write('sub/inner/a');
    write('nested/b.o');
    expect(await gitFiles(join(root, 'sub/inner'))).toBeUndefined();
    expect(await gitFiles(join(root, 'sub'))).toBeUndefined();
    expect(await gitFiles(join(root, 'nested'))).toEqual(new Set());
  });

  it('runs nothing that the repository names', async () => {
    git('init', '-q');
    write('a');
    write('sub/hook', `#!/bin/sh\ntouch ${root}/ran\n`);
    chmodSync(join(root, 'sub/hook'), 0o755);
    git('config', 'core.fsmonitor', join(root, 'sub/hook'));
    // The hook would write here if it ran outside of the sandbox.
    execFileSync('git', ['ls-files', '--others'], { cwd: root });
    expect(await gitFiles(root)).toContain('a');
    const ranUnsandboxed = existsSync(join(root, 'ran'));
    rmSync(join(root, 'ran'), { force: true });
    await gitFiles(root);
    expect({ ranUnsandboxed, ran: existsSync(join(root, 'ran')) }).toEqual({
      ranUnsandboxed: true,
      ran: false,
    });
  });
});
