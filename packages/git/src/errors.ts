import { FumehoodError } from '@fumehood/base';

/** Git left more files than it makes: it was taken over by what it read. */
export function tooManyOutputs(max: number): FumehoodError {
  return new FumehoodError({
    code: 'output_refused',
    message: `git left more than ${max} files in the directory of packs, which are not used`,
    remedy: 'Take the repository for hostile, and report it.',
  });
}

/** A repository holds something that is not accepted. The fault is the repository's. */
export function repositoryInvalid(why: string): FumehoodError {
  return new FumehoodError({
    code: 'repository_invalid',
    status: 400,
    message: `the repository cannot be used: ${why}`,
    remedy: 'Run `git fsck` in the repository and fix what it reports.',
  });
}

export function gitProtocol(why: string): FumehoodError {
  return new FumehoodError({ code: 'git_protocol', message: `the git server's answer is malformed: ${why}` });
}

/** A git server refuses a request, or has not what was asked for. */
export function remoteRefused(why: string, remedy?: string): FumehoodError {
  return new FumehoodError({
    code: 'remote_refused',
    status: 502,
    message: `the git server refused: ${why}`,
    ...(remedy !== undefined && { remedy }),
  });
}
