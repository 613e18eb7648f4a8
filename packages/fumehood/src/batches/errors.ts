import { FumehoodError } from '@fumehood/base';
import type { BatchSpecRecord } from '@fumehood/protocol';

export const specNotWritten = (path: string, why: string) =>
  new FumehoodError({
    code: 'batch_spec_not_written',
    message: `${path} cannot be written: ${why}`,
    remedy: 'Give another file with --file.',
  });

export const rolloutUnreadable = (path: string, why: string) =>
  new FumehoodError({
    code: 'rollout_unreadable',
    message: `${path} has no list of rollout windows: ${why}`,
    remedy: 'docs/batch-changes.md says what a window has.',
  });

export const batchChangeNotFound = (name: string, namespace: string | undefined) =>
  new FumehoodError({
    status: 404,
    code: 'batch_change_not_found',
    message: `there is no batch change ${name}${namespace === undefined ? '' : ` of ${namespace}`}`,
    remedy: 'List yours: `fumehood batches list`.',
  });

export const batchChangeAmbiguous = (name: string, namespaces: readonly string[]) =>
  new FumehoodError({
    code: 'batch_change_ambiguous',
    message: `there are batch changes ${name} of ${namespaces.join(' and ')}`,
    remedy: 'Say which one with --namespace.',
  });

export const specNotNamed = () =>
  new FumehoodError({
    code: 'usage',
    message: 'no batch spec is named',
    remedy: 'Give its id, or its file with --file.',
  });

/** Some workspaces have no result, so there is nothing to preview or apply. */
export const specNotCompleted = ({
  id,
  state,
  resolutionFailure,
  buildFailure,
  workspaces,
}: BatchSpecRecord) =>
  new FumehoodError({
    code: 'batch_spec_not_completed',
    message: `the batch spec ${id} is not completed: ${resolutionFailure ?? buildFailure ?? state}`,
    remedy:
      resolutionFailure !== null
        ? 'Correct the batch spec, or have the repository mirrored: `fumehood repos add URL`. Then send it again.'
        : `See why: \`fumehood batches ${workspaces.failed > 0 ? 'logs' : 'status'} ${id}\`. Run what failed again: \`fumehood batches retry ${id}\`.`,
  });
