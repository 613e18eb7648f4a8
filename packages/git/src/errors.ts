import { FumehoodError } from '@fumehood/base';

/** A repository holds something that is not accepted. The fault is the repository's. */
export function repositoryInvalid(why: string): FumehoodError {
  return new FumehoodError({
    code: 'repository_invalid',
    status: 400,
    message: `the repository cannot be used: ${why}`,
    remedy: 'Run `git fsck` in the repository and fix what it reports.',
  });
}
