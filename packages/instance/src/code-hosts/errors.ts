import { FumehoodError } from '@fumehood/base';

export function codeHostNotFound(name: string): FumehoodError {
  return new FumehoodError({
    status: 404,
    code: 'code_host_not_found',
    message: `there is no code host ${name}`,
    remedy: 'List those that there are: `fumehood batches code-hosts list`.',
  });
}

export function codeHostUrlTaken(url: string): FumehoodError {
  return new FumehoodError({
    status: 409,
    code: 'code_host_url_taken',
    message: `another code host has the URL ${url}`,
    remedy: 'Change that one, or remove it: `fumehood batches code-hosts list` shows its name.',
  });
}

export function tooManyCodeHosts(bound: number): FumehoodError {
  return new FumehoodError({
    status: 409,
    code: 'too_many_code_hosts',
    message: `the instance has ${bound} code hosts, the most that are allowed`,
    remedy: 'Remove those that nobody needs: `fumehood batches code-hosts remove NAME`.',
  });
}

/** The URL of the repository begins with that of the code host, but is not one that the host gives a repository. */
export function hostRepositoryInvalid(host: string, repository: string): FumehoodError {
  return new FumehoodError({
    status: 409,
    code: 'host_repository_invalid',
    message: `the URL of ${repository} is none of a repository on the code host ${host}`,
    remedy: 'Mirror it from a URL as the page of the repository shows it: `fumehood repos add`.',
  });
}

/** `until`: milliseconds since 1970. */
export function hostRateLimited(host: string, until: number): FumehoodError {
  return new FumehoodError({
    status: 503,
    code: 'host_rate_limited',
    message: `the code host ${host} takes no more requests until ${new Date(until).toISOString()}`,
    remedy: 'Wait: the instance tries again by itself then.',
    details: { retryAt: until },
  });
}

export function hostUnavailable(host: string, why: string): FumehoodError {
  return new FumehoodError({
    status: 502,
    code: 'host_unavailable',
    message: `the code host ${host} cannot be used now: ${why}`,
    remedy: 'Wait: the instance tries again by itself. If this lasts, check the URL of the code host.',
  });
}

export function hostTokenRefused(host: string, why: string): FumehoodError {
  return new FumehoodError({
    status: 502,
    code: 'host_token_refused',
    message: `the code host ${host} refuses its token: ${why}`,
    remedy:
      'Give it one that may write pull requests of the repository: `fumehood batches code-hosts set NAME`.',
  });
}

export function hostRepositoryMissing(host: string, slug: string): FumehoodError {
  return new FumehoodError({
    status: 502,
    code: 'host_repository_missing',
    message: `the code host ${host} shows no repository ${slug} to its token`,
    remedy: 'Check the URL of the repository, and that the token may read it.',
  });
}

export function hostRefused(host: string, why: string): FumehoodError {
  return new FumehoodError({
    status: 502,
    code: 'host_refused',
    message: `the code host ${host} refuses: ${why}`,
    remedy: 'Do what it says, and then retry the changeset.',
  });
}

/** The host cannot say yet whether it does what it is asked for. */
export function hostNotReady(host: string, why: string): FumehoodError {
  return new FumehoodError({
    status: 503,
    code: 'host_not_ready',
    message: `the code host ${host} is not ready: ${why}`,
    remedy:
      'Wait: the instance tries again by itself, a few times. If it gives up, look at the page on the host: a changeset may be in conflict.',
  });
}

export function hostAnswerInvalid(host: string, why: string): FumehoodError {
  return new FumehoodError({
    status: 502,
    code: 'host_answer_invalid',
    message: `an answer of the code host ${host} cannot be read: ${why}`,
    remedy: 'Check that its kind and its URL are right: `fumehood batches code-hosts list`.',
  });
}
