import { GloveboxError } from '@glovebox/base';

export function commitIncomplete(commit: string): GloveboxError {
  return new GloveboxError({
    status: 400,
    code: 'commit_incomplete',
    message: `the pack does not hold all of the commit ${commit}`,
    remedy: `Make it with \`git pack-objects --revs --stdout\`, fed with the lines \`--shallow ${commit}\` and \`${commit}\`.`,
  });
}

/** Anything but reading by git's smart protocol. */
export function gitRouteUnknown(path: string): GloveboxError {
  return new GloveboxError({ status: 404, code: 'not_found', message: `there is no ${path} here` });
}

export function backendFailed(why: string): GloveboxError {
  return new GloveboxError({ status: 502, code: 'git_failed', message: `git could not answer: ${why}` });
}
