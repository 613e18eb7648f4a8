import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LocalRepository, openRepository } from './repository.ts';

let root: string;
let path: string;
let first: string;
let second: string;

function git(directory: string, args: string[], input?: Buffer): string {
  const all = ['-C', directory, '-c', 'user.name=t', '-c', 'user.email=t@t', ...args];
  return execFileSync('git', all, { encoding: 'utf8', input, stdio: ['pipe', 'pipe', 'ignore'] }).trim();
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fumehood-repository-'));
  path = join(root, '.my repository');
  await mkdir(join(path, 'below'), { recursive: true });
  git(path, ['init', '-q', '-b', 'main']);
  await writeFile(join(path, 'below/file'), 'first\n');
  git(path, ['add', '-A']);
  git(path, ['commit', '-qm', 'first']);
  first = git(path, ['rev-parse', 'HEAD']);
  await writeFile(join(path, 'below/file'), 'second\n');
  git(path, ['commit', '-qam', 'second']);
  second = git(path, ['rev-parse', 'HEAD']);
});
afterAll(() => rm(root, { recursive: true, force: true }));

describe('an opened repository', () => {
  let opened: LocalRepository;
  beforeAll(async () => {
    opened = await openRepository(path, 'main', 'below');
  });

  it('has a name that the instance accepts, and a commit', () => {
    expect(opened).toMatchObject({ path, name: 'local/my-repository', commit: second });
  });

  it('has the files of the commit, not those of the working directory', async () => {
    await writeFile(join(path, 'below/file'), 'changed since');
    await writeFile(join(path, 'new'), '');
    expect(String(await opened.file('below/file'))).toBe('second\n');
    expect(await opened.has('below')).toBe(true);
    expect(await opened.has('new')).toBe(false);
    await expect(opened.file('new')).rejects.toMatchObject({ code: 'repository_unreadable' });
  });

  it('is packed as one commit without its history', async () => {
    const bare = join(root, 'bare');
    execFileSync('git', ['init', '-q', '--bare', bare]);
    await writeFile(join(bare, 'shallow'), `${second}\n`);
    git(bare, ['unpack-objects', '-q'], await buffer(opened.pack()));
    expect(git(bare, ['show', `${second}:below/file`])).toBe('second');
    expect(() => git(bare, ['cat-file', '-e', first])).toThrow();
    git(bare, ['fsck', '--full', '--strict']);
  });
});

describe('opening a repository', () => {
  it.each([
    ['a file', 'below/file', 'HEAD', '', 'there is no such directory'],
    ['a revision that is a flag', '', '--all', '', 'it has no commit --all'],
    ['a revision that is no commit', '', 'HEAD:below', '', 'it has no commit HEAD:below'],
    ['a root that is a file', '', 'HEAD', 'below/file', 'has no directory below/file'],
    ['a root that only the working directory has', '', 'HEAD', 'new', 'has no directory new'],
  ])('refuses %s, with the reason', async (_what, below, revision, directory, why) => {
    await expect(openRepository(join(path, below), revision, directory)).rejects.toMatchObject({
      code: 'repository_unreadable',
      message: expect.stringContaining(why) as string,
    });
  });

  it('refuses a repository without a commit', async () => {
    const empty = join(root, 'empty');
    execFileSync('git', ['init', '-q', empty]);
    await expect(openRepository(empty, 'HEAD', '')).rejects.toMatchObject({
      message: expect.stringContaining('it has no commit HEAD') as string,
    });
  });
});
