import { FumehoodError } from '@fumehood/base';

export function instanceUnreachable(url: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'instance_unreachable',
    message: `the instance at ${url} cannot be reached: ${why}`,
    remedy: 'Check with `fumehood status` that it is running.',
  });
}

/** The instance sent a response that this version of the client does not understand. */
export function answerUnknown(url: string, what: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'answer_unknown',
    message: `the instance at ${url} sent a response to ${what} that this client does not understand: ${why}`,
    remedy: 'Use the client of the same version as the instance.',
  });
}
