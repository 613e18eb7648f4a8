import { FumehoodError } from '@fumehood/base';

/** `where`: the path of a file of the diff, or null. */
export function diffInvalid(why: string, where: string | null = null): FumehoodError {
  const file = where === null ? '' : ` at ${JSON.stringify(where.slice(0, 200))}`;
  return new FumehoodError({
    code: 'diff_invalid',
    status: 400,
    message: `the diff is refused${file}: ${why}`,
    remedy: 'Make it with `git diff --no-prefix --binary`, and leave out what the message names.',
  });
}

/** A commit of another repository would become part of this one, and nobody has checked that one. */
export function submoduleChanged(path: string): FumehoodError {
  return diffInvalid(
    'a submodule can be removed, but neither added nor moved to another commit. A directory with a .git of its own counts as one',
    path,
  );
}

export function diffTooBig(why: string): FumehoodError {
  return new FumehoodError({
    code: 'diff_too_big',
    status: 413,
    message: `the diff is too big: ${why}`,
    remedy: 'Change fewer files in one workspace, and do not add files that can be built.',
  });
}
