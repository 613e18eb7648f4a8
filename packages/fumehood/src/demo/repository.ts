import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { collect } from '@fumehood/base';
import { repositoryUnreadable } from '../errors.ts';

/** A repository of the user's, at one commit. */
export interface LocalRepository {
  readonly path: string;
  /** The name that the instance knows it by. */
  readonly name: string;
  readonly commit: string;
  /** The commit alone, without its history, as one pack. */
  pack(): Promise<Readable>;
  /** Whether the commit has a file or directory of this path. */
  has(path: string): Promise<boolean>;
  /** A file of the commit. Errors: `repository_unreadable`. */
  file(path: string): Promise<Buffer>;
}

/** Largest file that is read to show a line of it. */
const fileMax = 16 * 2 ** 20;
const wordsMax = 65_536;

/**
 * Opens a repository: git runs as the owner of its directory, so that nothing of another user reads it or is run by what it says.
 * `root` must be a directory of the commit. Errors: `repository_unreadable`.
 */
export async function openRepository(
  where: string,
  revision: string,
  root: string,
): Promise<LocalRepository> {
  const path = resolve(where);
  const is = statSync(path, { throwIfNoEntry: false });
  if (!is?.isDirectory())
    throw repositoryUnreadable(where, 'there is no such directory', 'Give the path of a git repository.');
  const owner = { uid: is.uid, gid: is.gid };
  const git = (...args: string[]) => gitAs(owner, path, args);
  const answer = async (...args: string[]) => {
    const { code, stdout } = await finish(git(...args), wordsMax);
    return code === 0 ? stdout.toString().trim() : null;
  };
  const top = await answer('rev-parse', '--git-dir');
  if (top === null)
    throw repositoryUnreadable(
      where,
      'this is not a git repository',
      'Give the path of one, or make one: `git init`, `git add`, `git commit`.',
    );
  const commit = await answer('rev-parse', '--verify', '--end-of-options', `${revision}^{commit}`);
  if (commit === null)
    throw repositoryUnreadable(
      where,
      `it has no commit ${revision}`,
      'Name a branch, a tag or a commit that `git log` shows.',
    );
  const tree = root === '' ? 'tree' : await answer('cat-file', '-t', `${commit}:${root}`);
  if (tree !== 'tree')
    throw repositoryUnreadable(
      where,
      `the commit ${commit.slice(0, 12)} has no directory ${root}`,
      "Give --root as a path from the repository's top.",
    );
  return {
    path,
    name: `local/${(basename(path) || 'repository').replace(/[^A-Za-z0-9._-]/g, '-').replace(/^[.-]+/, '') || 'repository'}`,
    commit,
    async pack() {
      const process = git('pack-objects', '--revs', '--stdout', '--quiet');
      process.stdin?.on('error', () => {}); // its exit tells
      process.stdin?.end(`--shallow ${commit}\n${commit}\n`);
      const { stdout } = process as { stdout: Readable };
      process.once('exit', (code) => {
        if (code !== 0)
          stdout.destroy(
            repositoryUnreadable(where, `git pack-objects ended with ${code}`, 'Run `git fsck` in it.'),
          );
      });
      return stdout;
    },
    has: async (name) => (await answer('cat-file', '-t', `${commit}:${name}`)) !== null,
    async file(name) {
      const { code, stdout } = await finish(git('cat-file', 'blob', `${commit}:${name}`), fileMax);
      if (code !== 0)
        throw repositoryUnreadable(where, `the commit has no file ${name}`, 'Run `git fsck` in it.');
      return stdout;
    },
  };
}

function gitAs(owner: { uid: number; gid: number }, path: string, args: readonly string[]): ChildProcess {
  const asOwner = process.getuid?.() === 0 ? owner : {};
  return spawn('git', ['--no-optional-locks', '-C', path, ...args], {
    ...asOwner,
    stdio: ['pipe', 'pipe', 'ignore'],
    env: {
      PATH: process.env.PATH ?? '/usr/bin:/bin',
      LC_ALL: 'C.UTF-8',
      // Nothing of anybody's configuration but the repository's own; none of what is run here obeys a hook or a filter.
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
      GIT_TERMINAL_PROMPT: '0',
    },
  });
}

async function finish(
  child: ChildProcess,
  maxBytes: number,
): Promise<{ code: number | null; stdout: Buffer }> {
  child.stdin?.end();
  const exited = once(child, 'exit');
  const stdout = await collect(child.stdout as Readable, maxBytes);
  const [code] = (await exited) as [number | null];
  return { code, stdout };
}
