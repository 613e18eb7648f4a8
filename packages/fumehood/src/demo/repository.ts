import { realpathSync, statSync } from 'node:fs';
import { basename, join, normalize, relative } from 'node:path';
import { Readable } from 'node:stream';
import { FumehoodError, type Identity, localSpawn } from '@fumehood/base';
import { repositoryUnreadable } from '../errors.ts';
import { findGitDirectory, type GitDirectory } from './git-directory.ts';
import { type Git, gitIn } from './local-git.ts';
import { unreadable } from './unreadable.ts';

/** A git repository of the user, at one commit. */
export interface LocalRepository {
  /** The top of its working tree, or the bare repository. */
  readonly path: string;
  /** The repository's name in the instance. */
  readonly name: string;
  readonly commit: string;
  /** Directory to index, relative to the top; empty for all of it. */
  readonly root: string;
  /** Returns a pack that holds the commit without its history. Errors of the stream: `repository_unreadable`. */
  pack(): Readable;
  /** Whether the commit has a file or directory at this path. Symbolic links inside the commit are followed. */
  has(path: string): Promise<boolean>;
  /** Reads a file of the commit. Symbolic links inside the commit are followed. Errors: `repository_unreadable`. */
  file(path: string): Promise<Buffer>;
}

/** Largest file of the commit that is read, bytes. */
const fileMax = 16 * 2 ** 20;

/**
 * Opens the repository of a directory, and checks that the commit is whole and that `root`, a path below that directory, is one of
 * its directories. Git runs as the owner of the repository, so it reads only what the owner may read, and under the Spawn profile,
 * so that a program which somebody wrote into the repository's configuration reaches nothing of this host. Errors:
 * `repository_unreadable`.
 */
export async function openRepository(
  where: string,
  revision: string,
  root: string,
): Promise<LocalRepository> {
  const found = locate(where);
  const { top } = found;
  const git = gitIn(found, localSpawn(runnerOf(found, '--repo')));
  const answer = async (args: readonly string[], input?: string, maxBytes?: number) => {
    const { code, stdout, stderr } = await git.run(args, input, maxBytes);
    if (code !== 0) throw unreadable(top, stderr);
    return stdout;
  };
  const format = String(await answer(['rev-parse', '--show-object-format'])).trim();
  if (format !== 'sha1')
    throw repositoryUnreadable(
      top,
      `its object format is ${format}`,
      'Fumehood supports only repositories whose object format is sha1.',
    );
  const commit = await resolveCommit(git, top, revision);
  await answer(['rev-list', '--objects', '--no-walk', '--quiet', commit]); // fails if it lacks an object
  const below = found.directory === top ? '' : relative(top, realpathSync(where));
  const directory = normalize(join(below, root)).replace(/^\.$|\/$/, '');
  const kindOf = async (path: string) => {
    if (path.includes('\n')) return null; // no line can ask for it
    const shown = await answer(
      ['cat-file', '--batch-check=%(objecttype)', '--follow-symlinks'],
      `${commit}:${path}\n`,
    );
    return /^(blob|tree)\n$/.exec(shown.toString('latin1'))?.[1] ?? null;
  };
  if (directory !== '' && (await kindOf(directory)) !== 'tree')
    throw repositoryUnreadable(
      top,
      `the commit ${commit.slice(0, 12)} has no directory ${directory}`,
      'Give --root a path below the directory that --repo names.',
    );
  return {
    path: top,
    name: `local/${
      basename(top)
        .replace(/[^A-Za-z0-9._-]/g, '-')
        .replace(/^[.-]+/, '') || 'repository'
    }`,
    commit,
    root: directory,
    pack() {
      const args = ['pack-objects', '--revs', '--stdout', '--quiet'];
      return Readable.from(
        git.stream(args, `--shallow ${commit}\n${commit}\n`, (why) => unreadable(top, why)),
      );
    },
    has: async (path) => (await kindOf(path)) !== null,
    async file(path) {
      const bytes = await answer(
        ['cat-file', '--batch', '--follow-symlinks'],
        `${commit}:${path}\n`,
        fileMax,
      );
      const [head, size] = /^[0-9a-f]{40} blob (\d+)\n/.exec(bytes.toString('latin1', 0, 100)) ?? [];
      if (head === undefined)
        throw repositoryUnreadable(
          top,
          `the commit has no file ${path}`,
          `Look at \`git ls-tree ${commit}\`.`,
        );
      return bytes.subarray(head.length, head.length + Number(size));
    },
  };
}

/** Finds the repository of a directory. Errors: `repository_unreadable`. */
export function locate(where: string): GitDirectory {
  const refused = (why: string, remedy: string) => repositoryUnreadable(where, why, remedy);
  try {
    const found = statSync(where).isDirectory() ? findGitDirectory(where) : undefined;
    if (found) return found;
    if (found === null)
      throw refused(
        'this is not a git repository',
        'Give the path of one, or make it one: `git init`, `git add`, `git commit`.',
      );
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (error instanceof FumehoodError) throw error;
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw unreadable(where, message);
  }
  throw refused('there is no such directory', 'Give the path of a git repository.');
}

/**
 * Returns the identity for git: root becomes the owner of the repository, others stay who they are. Like git, it does not trust a
 * repository of which a part belongs to somebody else. Errors: `repository_unreadable`.
 */
export function runnerOf({ top, owned }: GitDirectory, option: '--repo' | '--dir'): Identity | null {
  const self = process.getuid?.() ?? 0;
  const { uid, gid } = statSync(top);
  const runner = self === 0 ? uid : self;
  for (const path of owned) {
    const owner = statSync(path).uid;
    if (owner !== runner)
      throw repositoryUnreadable(
        top,
        `detected dubious ownership: ${path} belongs to uid ${owner}, and git would run as uid ${runner}`,
        `Run the command as the owner, or give ${option} a copy of your own (\`cp -r ${top} COPY\`).`,
      );
  }
  return runner === self ? null : { uid, gid };
}

/** Returns the id of the commit that a revision names. Errors: `repository_unreadable`. */
async function resolveCommit(git: Git, top: string, revision: string): Promise<string> {
  const parse = (text: string) => git.run(['rev-parse', '--verify', '--end-of-options', text]);
  const commit = await parse(`${revision}^{commit}`);
  if (commit.code === 0) return commit.stdout.toString().trim();
  // Git says the same of an object that is missing and of a name that is unknown.
  if (!commit.stderr.includes('Needed a single revision')) throw unreadable(top, commit.stderr);
  const id = (await parse(revision)).stdout.toString().trim();
  const { code, stderr } = await git.run(['cat-file', '-t', id]);
  if (id !== '' && code !== 0) {
    const [, why] = /^error: (.*)$/m.exec(stderr) ?? []; // of a pack that is damaged
    throw unreadable(top, `it lacks the object ${id}, which ${revision} names${why ? `: ${why}` : ''}`);
  }
  throw repositoryUnreadable(
    top,
    `it has no commit ${revision}`,
    'Name a branch, a tag or a commit that `git log` shows.',
  );
}
