import { FumehoodError } from '@fumehood/base';

export const specUnreadable = (path: string, why: string) =>
  new FumehoodError({
    code: 'batch_spec_unreadable',
    message: `the batch spec ${path} cannot be read: ${why}`,
    remedy: 'Give its file with --file, or make one: `fumehood batches new NAME`.',
  });

export const specExists = (path: string) =>
  new FumehoodError({
    code: 'batch_spec_exists',
    message: `${path} is there already`,
    remedy: 'Give another file with --file.',
  });

export const mountUnusable = (path: string, why: string) =>
  new FumehoodError({
    code: 'mount_unusable',
    message: `a step mounts ${path}, which cannot be sent: ${why}`,
    remedy: 'Mount files and directories below the directory of the batch spec.',
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
export const specNotCompleted = (id: string, state: string) =>
  new FumehoodError({
    code: 'batch_spec_not_completed',
    message: `the execution of the batch spec ${id} is ${state}`,
    remedy: `See why: \`fumehood batches status ${id}\`. Run what failed again: \`fumehood batches retry ${id}\`.`,
  });
