import { FumehoodError } from '@fumehood/base';

/** What a repository holds and none of ours may. */
export function repositoryInvalid(why: string): FumehoodError {
  return new FumehoodError({
    code: 'repository_invalid',
    status: 400,
    message: `the repository cannot be used: ${why}`,
    remedy: 'Run `git fsck --strict` in it and mend what it names.',
  });
}
