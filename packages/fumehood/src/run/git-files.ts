import { realpathSync } from 'node:fs';
import { relative } from 'node:path';
import { localSpawn, runToEnd } from '@fumehood/base';
import { gitEnvironment } from '@fumehood/git';
import { findGitDirectory } from '../demo/git-directory.ts';
import { runnerOf } from '../demo/repository.ts';

/** Bytes of the longest list of files: the paths of the largest workspace. */
const listMax = 64 * 2 ** 20;

/**
 * Returns the paths below a directory that git does not ignore (`latin1`, relative to the directory), tracked or not; undefined if no git
 * work tree has the directory. Git runs under the Spawn profile as the owner of the repository. Errors: `repository_unreadable`,
 * `program_failed`.
 */
export async function gitFiles(where: string): Promise<ReadonlySet<string> | undefined> {
  const found = findGitDirectory(where);
  if (!found || found.top === found.directory) return undefined;
  const { top, directory, directories } = found;
  const below = relative(top, realpathSync(where));
  const args = ['-C', top, '--git-dir', directory, '--work-tree', top, '--literal-pathspecs', 'ls-files'];
  const { stdout } = await runToEnd(
    localSpawn(runnerOf(found)),
    {
      label: 'git ls-files',
      program: '/usr/bin/git',
      args: [
        ...args,
        '--cached',
        '--others',
        '--exclude-standard',
        '-z',
        '--',
        ...(below === '' ? [] : [below]),
      ],
      env: gitEnvironment,
      binds: [...new Set([top, ...directories])].map((path) => ({ source: path, target: path, mode: 'ro' })),
      limits: { memoryBytes: 0 }, // git maps its index, which may be larger than the limit
    },
    { maxStdoutBytes: listMax },
  );
  const start = below === '' ? 0 : Buffer.byteLength(below) + 1;
  // A repository inside of this one is listed with a slash at its end.
  const paths = stdout.toString('latin1').split('\0').slice(0, -1);
  return new Set(paths.map((path) => path.slice(start).replace(/\/$/, '')));
}
