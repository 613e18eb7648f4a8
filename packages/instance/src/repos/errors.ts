import { FumehoodError } from '@fumehood/base';

/** A pack that is not exactly its commit. */
function notTheCommit(code: string, commit: string, message: string): FumehoodError {
  return new FumehoodError({
    status: 400,
    code,
    message,
    remedy: `Make it with \`git pack-objects --revs --stdout\`, fed with the lines \`--shallow ${commit}\` and \`${commit}\`.`,
  });
}

export const commitIncomplete = (commit: string) =>
  notTheCommit('commit_incomplete', commit, `the pack does not hold all of the commit ${commit}`);

/** Whoever may read the commit could read that too. */
export const packHoldsMore = (commit: string) =>
  notTheCommit('pack_holds_more', commit, `the pack holds more than the commit ${commit}`);

/** Anything but reading by git's smart protocol. */
export function gitRouteUnknown(path: string): FumehoodError {
  return new FumehoodError({ status: 404, code: 'not_found', message: `there is no ${path} here` });
}

export function requestTooBig(maxBytes: number): FumehoodError {
  return new FumehoodError({
    status: 413,
    code: 'request_too_big',
    message: `a request of git's has at most ${maxBytes} bytes`,
    remedy: 'Fetch into an empty repository: one commit is all that there is.',
  });
}

export function requestBroken(why: string): FumehoodError {
  return new FumehoodError({
    status: 400,
    code: 'invalid_request',
    message: `the request cannot be unpacked: ${why}`,
  });
}

export function backendFailed(why: string): FumehoodError {
  return new FumehoodError({ status: 502, code: 'git_failed', message: `git could not answer: ${why}` });
}
