import { FumehoodError } from '@fumehood/base';

const refused = (status: number, code: string, message: string, remedy: string) =>
  new FumehoodError({ status, code, message, remedy });

export const batchSpecNotFound = (id: string) =>
  refused(
    404,
    'batch_spec_not_found',
    `there is no batch spec ${id.slice(0, 100)} that you may see`,
    'List those that there are: `fumehood batches list`. One that was not applied is removed after 7 days.',
  );

export const batchWorkspaceNotFound = (id: string) =>
  refused(
    404,
    'batch_workspace_not_found',
    `there is no workspace ${id.slice(0, 100)} that you may see`,
    'List the workspaces of the batch spec: `fumehood batches show`.',
  );

export const batchFileTooBig = (bound: number) =>
  refused(
    413,
    'batch_file_too_big',
    `a file that steps mount has at most ${bound} bytes`,
    'Mount less, or have the steps fetch it.',
  );

export const tooManyBatchFiles = (bound: number) =>
  refused(409, 'too_many_batch_files', `a batch spec mounts at most ${bound} files`, 'Mount fewer files.');

export const batchQueryInvalid = (query: string, why: string) =>
  refused(
    400,
    'batch_query_invalid',
    `the query ${JSON.stringify(query.slice(0, 300))} cannot be used: ${why}`,
    'A query has words, texts in quotes, `/patterns/`, `repo:PATTERN`, `file:PATTERN` and `lang:NAME`, `or`, groups in parentheses, and `-` before what must not be there.',
  );

export const workspacesOverlap = (repository: string) =>
  refused(
    400,
    'batch_workspaces_overlap',
    `two entries of \`workspaces\` are for ${repository}`,
    'Make their patterns in `in` exclude each other.',
  );

export const tooManyWorkspaces = (bound: number) =>
  refused(
    400,
    'too_many_workspaces',
    `a batch spec has at most ${bound} workspaces`,
    'Divide it: let `on` name fewer repositories.',
  );
export const batchSpecOfClient = (id: string) =>
  refused(
    409,
    'batch_spec_of_client',
    `a client has run the batch spec ${id}`,
    'Create one that the instance runs: `fumehood batches execute`.',
  );

export const batchSpecExecuted = (id: string) =>
  refused(
    409,
    'batch_spec_executed',
    `the batch spec ${id} was executed already`,
    'Retry what has failed, or create the batch spec again.',
  );

export const batchSpecRunning = (id: string, state: string, rule: string) =>
  refused(
    409,
    'batch_spec_running',
    `the batch spec ${id} is ${state}, and ${rule}`,
    'Wait for its end, or cancel it first.',
  );

export const batchSpecApplied = (id: string) =>
  refused(
    409,
    'batch_spec_applied',
    `the batch spec ${id} was applied, so its results stay as they are`,
    'Create it again and execute that. It can be deleted when its batch change is.',
  );

export const batchWorkspaceRunning = (id: string, state: string) =>
  refused(
    409,
    'batch_workspace_running',
    `the workspace ${id} is ${state}, and only one that has ended is retried`,
    'Wait for its end, or cancel it first.',
  );

export const mountMissing = (path: string) =>
  refused(
    400,
    'batch_mount_missing',
    `the batch spec mounts ${path}, and no such file was sent`,
    'Send the files below the directory of the batch spec before it is executed.',
  );

/** The fault of a step, from 0, which `details.step` says. */
export const stepInvalid = (step: number, why: string, remedy = 'Correct the step of the batch spec.') =>
  new FumehoodError({
    ...{ status: 400, code: 'batch_step_invalid', message: `step ${step + 1}: ${why}`, remedy },
    details: { step },
  });

export const stepUnexpected = (step: number) =>
  refused(
    409,
    'batch_step_unexpected',
    `step ${step} is none that this attempt was given`,
    'Report the steps in the order in which they were given.',
  );

export const outputsInvalid = (why: string) =>
  refused(400, 'batch_outputs_invalid', `the outputs of a step ${why}`, 'Let the step have smaller outputs.');

export const batchFileNotFound = (path: string) =>
  refused(404, 'batch_file_not_found', `the batch spec has no file ${path.slice(0, 300)}`, 'Send it first.');
