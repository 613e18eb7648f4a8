import { realpathSync, statSync } from 'node:fs';
import { relative } from 'node:path';
import { factsOf, localSpawn, runToEnd, type SpawnRequest } from '@fumehood/base';
import { gitEnvironment } from '@fumehood/git';
import { findGitDirectory, type GitDirectory } from '../demo/git-directory.ts';
import { runnerOf } from '../demo/repository.ts';
import { repositoryUnreadable } from '../errors.ts';

/** Bytes of the longest list of files: the paths of the largest workspace. */
const listMax = 64 * 2 ** 20;

/**
 * Returns the paths below a directory that git does not ignore (`latin1`, relative to the directory), tracked or not; undefined if no git
 * work tree has the directory, if there is no such directory, or if git ignores the directory itself, which somebody has named all the same. Git runs under the Spawn
 * profile as the owner of the repository. Errors: `repository_unreadable`.
 */
export async function gitFiles(where: string): Promise<ReadonlySet<string> | undefined> {
  if (!statSync(where, { throwIfNoEntry: false })?.isDirectory()) return undefined;
  const found = findGitDirectory(where);
  if (!found || found.top === found.directory) return undefined;
  const spawn = localSpawn(runnerOf(found, '--dir'));
  const below = relative(found.top, realpathSync(where));
  const only = below === '' ? [] : [below];
  const listed = [
    '--literal-pathspecs',
    'ls-files',
    '--cached',
    '--others',
    '--exclude-standard',
    '-z',
    '--',
    ...only,
  ];
  const { stdout } = await runToEnd(spawn, gitOn(found, listed), {
    maxStdoutBytes: listMax,
  }).catch((error: unknown) => {
    throw repositoryUnreadable(
      where,
      `git cannot list its files: ${factsOf(error).message}`,
      'Install what `fumehood doctor` finds missing (git and bubblewrap), or give a copy of the directory that is in no git work tree.',
    );
  });
  const start = below === '' ? 0 : Buffer.byteLength(below) + 1;
  const paths = stdout.toString('latin1').split('\0').slice(0, -1);
  if (paths.length === 0 && below !== '') {
    const check = await spawn(gitOn(found, ['check-ignore', '--quiet', '--', below]));
    check.stdin.end();
    for (const stream of [check.stdout, check.stderr]) stream.resume();
    if ((await check.exited).code === 0) return undefined;
  }
  // A repository inside of this one is listed with a slash at its end.
  return new Set(paths.map((path) => path.slice(start).replace(/\/$/, '')));
}

/** Returns the request for a command of git that reads the work tree. */
function gitOn({ top, directory, directories }: GitDirectory, args: string[]): SpawnRequest {
  const place = ['-C', top, '--git-dir', directory, '--work-tree', top];
  return {
    label: 'git',
    program: '/usr/bin/git',
    args: [...place, ...args],
    env: gitEnvironment,
    binds: [...new Set([top, ...directories])].map((path) => ({ source: path, target: path, mode: 'ro' })),
    limits: { memoryBytes: 0 }, // git maps its index, which may be larger than the limit
  };
}
