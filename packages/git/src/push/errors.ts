import { FumehoodError } from '@fumehood/base';

/** Somebody has changed what the diff was made for. */
export function diffConflict(why: string): FumehoodError {
  return new FumehoodError({
    code: 'diff_conflict',
    status: 409,
    message: `the diff does not apply to its commit: ${why}`,
    remedy: 'Run the batch spec again, so that its steps see the files as they are now.',
  });
}

/** A branch is not where the instance has left it: somebody else has pushed to it. */
export function branchMoved(ref: string, found: string | null): FumehoodError {
  return new FumehoodError({
    code: 'branch_moved',
    status: 409,
    message: `the branch ${ref} ${found === null ? 'is gone' : `is at ${found}, which the instance has not pushed`}`,
    remedy: 'Merge or remove the branch at the remote, or use another one, and then retry the changeset.',
  });
}

export function pushRefused(ref: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'push_refused',
    status: 502,
    message: `the git server does not take the branch ${ref}: ${why}`,
    remedy: 'Look for rules of the repository that forbid the push, and whether the credential may write.',
  });
}

/** The remote may take the same request later. */
export function remoteUnavailable(status: number): FumehoodError {
  return new FumehoodError({
    code: 'remote_unavailable',
    status: 502,
    message: `the git server answered ${status}`,
    remedy: 'Wait: the instance tries again by itself.',
  });
}
