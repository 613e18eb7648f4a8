import { FumehoodError } from '@fumehood/base';

export function instanceUnreachable(url: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'instance_unreachable',
    message: `the instance at ${url} cannot be reached: ${why}`,
    remedy: 'Check that it runs: `fumehood status`.',
  });
}

/** An answer that is not what this version of the client understands. */
export function answerUnknown(url: string, what: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'answer_unknown',
    message: `the instance at ${url} answered in another form to ${what}: ${why}`,
    remedy: 'Use a client of the same version as the instance.',
  });
}
