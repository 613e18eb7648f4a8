import { Readable } from 'node:stream';
import { localSpawn } from '@fumehood/base';
import { branchNameSchema } from '@fumehood/protocol';
import { gitIn } from '../demo/local-git.ts';
import { locate, openRepository, runnerOf } from '../demo/repository.ts';
import { unreadable } from '../demo/unreadable.ts';
import { repositoryUnreadable } from '../errors.ts';

/** The branch of a git repository of this machine, with its history. */
export interface LocalHistory {
  readonly path: string;
  /** The name that the repository has on an instance if nobody gives it one. */
  readonly name: string;
  /** The full name of the branch that is checked out, and its tip. */
  readonly branch: string;
  readonly commit: string;
  /** Whether it has this commit. */
  has(commit: string): Promise<boolean>;
  /** Returns a pack of the history; without what is in that of `base`, if that is not null. Errors of the stream: `repository_unreadable`. */
  pack(base: string | null): Readable;
}

/** Opens the repository of a directory. Git runs as `openRepository` has it. Errors: `repository_unreadable`. */
export async function openHistory(where: string): Promise<LocalHistory> {
  const { path, name, commit } = await openRepository(where, 'HEAD', '');
  const found = locate(where);
  const git = gitIn(found, localSpawn(runnerOf(found, '--repo')));
  const text = async (...args: string[]) => String((await git.run(args)).stdout).trim();
  if ((await text('rev-parse', '--is-shallow-repository')) !== 'false')
    throw repositoryUnreadable(
      path,
      'it is a shallow clone, which lacks a part of the history',
      'Fetch the rest: `git fetch --unshallow`.',
    );
  const branch = branchNameSchema.safeParse(await text('symbolic-ref', '-q', 'HEAD'));
  if (!branch.success)
    throw repositoryUnreadable(
      path,
      `no branch is checked out whose name ${branch.error.issues[0]?.message}`,
      'Check out a branch: `git switch BRANCH`.',
    );
  return {
    ...{ path, name, commit, branch: branch.data },
    has: async (other) => (await git.run(['cat-file', '-e', `${other}^{commit}`])).code === 0,
    pack(base) {
      const args = ['pack-objects', '--revs', '--stdout', '--quiet', '--delta-base-offset'];
      const input = `${commit}\n${base === null ? '' : `^${base}\n`}`;
      return Readable.from(git.stream(args, input, (why) => unreadable(path, why)));
    },
  };
}
