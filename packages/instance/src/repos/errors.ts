import { FumehoodError } from '@fumehood/base';

/** The pack does not hold exactly its commit. */
function packNotExact(code: string, commit: string, message: string): FumehoodError {
  return new FumehoodError({
    status: 400,
    code,
    message,
    remedy: `Make the pack with \`git pack-objects --revs --stdout\`, fed with the lines \`--shallow ${commit}\` and \`${commit}\`.`,
  });
}

export const commitIncomplete = (commit: string) =>
  packNotExact('commit_incomplete', commit, `the pack does not hold all of the commit ${commit}`);

/** Whoever may read the commit could read the rest of the pack too. */
export const packHoldsMore = (commit: string) =>
  packNotExact('pack_holds_more', commit, `the pack holds more than the commit ${commit}`);

export function packTooBig(maxBytes: number): FumehoodError {
  return new FumehoodError({
    status: 413,
    code: 'pack_too_big',
    message: `a pack has at most ${maxBytes} bytes`,
    remedy: 'Take large files out of the commit.',
  });
}

/** A git route takes nothing but reading by git's smart protocol. */
export function gitRouteUnknown(path: string): FumehoodError {
  return new FumehoodError({ status: 404, code: 'not_found', message: `there is no ${path}` });
}

export function requestTooBig(maxBytes: number): FumehoodError {
  return new FumehoodError({
    status: 413,
    code: 'request_too_big',
    message: `a request of a git client has at most ${maxBytes} bytes`,
    remedy: 'Fetch into an empty repository: the instance has one commit alone.',
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

export function repositoryNotFound(name: string): FumehoodError {
  return new FumehoodError({
    status: 404,
    code: 'repository_not_found',
    message: `there is no repository ${name}`,
    remedy: 'List those that there are: `fumehood repos list`.',
  });
}

export function tooManyRepositories(bound: number): FumehoodError {
  return new FumehoodError({
    status: 409,
    code: 'too_many_repositories',
    message: `the instance has ${bound} repositories, the most that are allowed`,
    remedy: 'Remove those that nobody needs: `fumehood repos remove NAME`.',
  });
}

export function revisionNotFound(revision: string): FumehoodError {
  return new FumehoodError({
    status: 404,
    code: 'revision_not_found',
    message: `the repository has no commit ${revision.slice(0, 300)}`,
    remedy: 'Name a branch, a tag or a commit. `fumehood repos sync NAME` fetches what is new.',
  });
}

export function repositoryMirrored(name: string): FumehoodError {
  return new FumehoodError({
    status: 409,
    code: 'repository_mirrored',
    message: `the instance mirrors ${name} from its URL, and takes no history of clients`,
    remedy: `Add the directory under another name: \`fumehood repos add PATH --name NAME\`.`,
  });
}

export function repositorySent(name: string): FumehoodError {
  return new FumehoodError({
    status: 409,
    code: 'repository_sent',
    message: `clients send the history of ${name}, which has no URL`,
    remedy: `Run \`fumehood repos sync ${name} PATH\` on the machine that has it.`,
  });
}

export function syncRunning(name: string): FumehoodError {
  return new FumehoodError({
    status: 409,
    code: 'sync_running',
    message: `another client sends the history of ${name}`,
    remedy: 'Try again when it has ended.',
  });
}

/** The pack builds on a commit that is not the tip of the repository, or its mirror has to be made anew. */
export function historyNeeded(name: string): FumehoodError {
  return new FumehoodError({
    status: 409,
    code: 'history_needed',
    message: `the instance needs the whole history of ${name}`,
    remedy: 'Send it without `base`.',
  });
}

export function mirrorMissing(repository: string): FumehoodError {
  return new FumehoodError({
    status: 409,
    code: 'mirror_missing',
    message: `the mirror of ${repository} is missing, and is made anew at the next sync`,
    remedy: `Have it synced now: \`fumehood repos sync ${repository}\`.`,
  });
}

export function webhookNotFound(repository: string): FumehoodError {
  return new FumehoodError({
    status: 404,
    code: 'webhook_not_found',
    message: `${repository} has no webhook`,
    remedy: `Make one: \`fumehood repos webhook set ${repository}\`.`,
  });
}

/** The same for a repository without a webhook, for one that does not exist, and for a wrong secret: nobody learns which it is. */
export function deliveryRefused(): FumehoodError {
  return new FumehoodError({
    status: 401,
    code: 'delivery_refused',
    message: 'the delivery is not signed with the secret of a webhook of this repository',
    remedy:
      'Compare the URL with `fumehood repos webhook show NAME`, choose the content type application/json, and give the code host the secret of `fumehood repos webhook set NAME`.',
  });
}

export function deliveryStale(secondsOff: number, bound: number): FumehoodError {
  return new FumehoodError({
    status: 401,
    code: 'delivery_stale',
    message: `the time of the delivery is ${secondsOff} s off, and at most ${bound} s are allowed`,
    remedy: 'Send it with the time of now, and set the clocks of both machines.',
  });
}

export function deliveryRepeated(repository: string): FumehoodError {
  return new FumehoodError({
    status: 409,
    code: 'delivery_repeated',
    message: 'this delivery was received before, and nothing is done again',
    remedy: `To have the repository synced now: \`fumehood repos sync ${repository}\`.`,
  });
}

export function pathNotFound(path: string, commit: string): FumehoodError {
  return new FumehoodError({
    status: 404,
    code: 'path_not_found',
    message: `there is no file ${path.slice(0, 500)} in the commit ${commit}`,
    remedy: 'A directory comes as an archive: send `Accept: application/zip`.',
  });
}
