import { FumehoodError } from '@fumehood/base';

export function rolloutNotFound(): FumehoodError {
  return new FumehoodError({
    status: 404,
    code: 'rollout_not_found',
    message: 'nothing is set for the times of changesets: they are changed at once',
    remedy:
      'Set windows of time: `fumehood batches rollout set FILE`; docs/batch-changes.md says what one has.',
  });
}
