import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { collect } from '@fumehood/base';
import { repositoryUnreadable } from '../errors.ts';

/** A git repository of the user, at one commit. */
export interface LocalRepository {
  readonly path: string;
  /** The repository's name in the instance. */
  readonly name: string;
  readonly commit: string;
  /** Returns a pack that holds the commit without its history. */
  pack(): Promise<Readable>;
  /** Whether the commit has a file or directory at this path. */
  has(path: string): Promise<boolean>;
  /** Reads a file of the commit. Errors: `repository_unreadable`. */
  file(path: string): Promise<Buffer>;
}

/** Largest file of the commit that is read, bytes. */
const fileMax = 16 * 2 ** 20;
/** Longest output of a git command that answers a question, bytes. */
const answerMax = 65_536;

/**
 * Opens a repository and checks that `root` is a directory of the commit. git runs as the owner of the repository, so it reads only
 * what the owner may read, and a command in the repository's configuration does not run as another user. Errors:
 * `repository_unreadable`.
 */
export async function openRepository(
  where: string,
  revision: string,
  root: string,
): Promise<LocalRepository> {
  const path = resolve(where);
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats?.isDirectory())
    throw repositoryUnreadable(where, 'there is no such directory', 'Give the path of a git repository.');
  const owner = { uid: stats.uid, gid: stats.gid };
  const git = (...args: string[]) => gitAs(owner, path, args);
  const answer = async (...args: string[]) => {
    const { code, stdout } = await finish(git(...args), answerMax);
    return code === 0 ? stdout.toString().trim() : null;
  };
  const top = await answer('rev-parse', '--git-dir');
  if (top === null)
    throw repositoryUnreadable(
      where,
      'this is not a git repository',
      'Give the path of one, or make it one: `git init`, `git add`, `git commit`.',
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
      'Give --root a path below the top of the repository.',
    );
  return {
    path,
    name: `local/${(basename(path) || 'repository').replace(/[^A-Za-z0-9._-]/g, '-').replace(/^[.-]+/, '') || 'repository'}`,
    commit,
    async pack() {
      const process = git('pack-objects', '--revs', '--stdout', '--quiet');
      process.stdin?.on('error', () => {}); // the exit code reports the failure
      process.stdin?.end(`--shallow ${commit}\n${commit}\n`);
      const { stdout } = process as { stdout: Readable };
      process.once('exit', (code) => {
        if (code !== 0)
          stdout.destroy(
            repositoryUnreadable(
              where,
              `git pack-objects exited with ${code}`,
              'Check the repository with `git fsck`.',
            ),
          );
      });
      return stdout;
    },
    has: async (name) => (await answer('cat-file', '-t', `${commit}:${name}`)) !== null,
    async file(name) {
      const { code, stdout } = await finish(git('cat-file', 'blob', `${commit}:${name}`), fileMax);
      if (code !== 0)
        throw repositoryUnreadable(
          where,
          `the commit has no file ${name}`,
          'Check the repository with `git fsck`.',
        );
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
      // Only the repository's own configuration counts. The git commands that run here call no hooks and no filters.
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
      GIT_TERMINAL_PROMPT: '0',
    },
  });
}

/** Waits for a command that gets no stdin, and returns its exit code and output. */
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
