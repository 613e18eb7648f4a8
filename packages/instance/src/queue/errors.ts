import { FumehoodError } from '@fumehood/base';

export const noSteps = (queue: string) =>
  new FumehoodError({
    status: 404,
    code: 'no_steps',
    message: `the jobs of the queue ${queue} have all of their steps from the start`,
    remedy: 'Ask for the steps of jobs of the queue batches alone.',
  });

export const stepDiffMissing = (step: number) =>
  new FumehoodError({
    status: 409,
    code: 'step_diff_missing',
    message: `this attempt has not sent that diff of step ${step}`,
    remedy: 'Send the diff to the route stepDiff, and then the digest of its answer.',
  });

export const stepDiffTooBig = (maxBytes: number) =>
  new FumehoodError({
    status: 413,
    code: 'diff_too_big',
    message: `the diff of a workspace has at most ${maxBytes} bytes`,
    remedy: 'Change less in one workspace, or have a step remove what it made.',
  });
