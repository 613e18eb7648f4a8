import { FumehoodError } from '@fumehood/base';

const refused = (status: number, code: string, message: string, remedy: string) =>
  new FumehoodError({ status, code, message, remedy });

export const batchChangeNotFound = (id: string) =>
  refused(
    404,
    'batch_change_not_found',
    `there is no batch change ${id.slice(0, 100)} that you may see`,
    'List those that there are: `fumehood batches list`.',
  );

export const batchChangeNameTaken = (id: string) =>
  refused(
    409,
    'batch_change_name_taken',
    `the batch change ${id} cannot have this name: another one of the namespace has it`,
    'Choose another name or namespace, or delete the other batch change.',
  );

export const batchChangeBusy = (id: string, changeset: string) =>
  refused(
    409,
    'batch_change_busy',
    `the instance is at the changeset ${changeset} of the batch change ${id} just now`,
    'Delete the batch change when `fumehood batches show` has no changeset that is processing.',
  );

export const bulkOperationNotFound = (id: string) =>
  refused(
    404,
    'bulk_operation_not_found',
    `there is no operation ${id.slice(0, 100)} that you may see`,
    'Look at the changesets themselves: `fumehood batches show`.',
  );

export const changesetNotFound = (id: string) =>
  refused(
    404,
    'changeset_not_found',
    `the batch change has no changeset ${id.slice(0, 100)}`,
    'List its changesets: `fumehood batches show`.',
  );

export const changesetSpecNotFound = (id: string) =>
  refused(
    404,
    'changeset_spec_not_found',
    `there is no changeset spec ${id.slice(0, 100)} of yours that no batch spec has yet`,
    'Send the changeset specs again, and then the batch spec with their ids.',
  );

export const changesetSpecInvalid = (why: string) =>
  refused(
    400,
    'changeset_spec_invalid',
    `the changeset spec cannot be used: ${why}`,
    'Correct it, and send it again: docs/batch-changes.md has what changeset specs have.',
  );

export const changesetBranchInvalid = (branch: string, repository: string) =>
  refused(
    400,
    'changeset_branch_invalid',
    `${JSON.stringify(branch.slice(0, 200))} cannot be the branch of a changeset of ${repository}`,
    'Let `changesetTemplate.branch` be the name of a branch that is not the one that the changes are for.',
  );

export const changesetBranchDuplicate = (branch: string, repository: string) =>
  refused(
    409,
    'changeset_branch_duplicate',
    `two changesets of ${repository} have the branch ${branch}`,
    'Let `changesetTemplate.branch` differ between workspaces: `${{ steps.path }}` is the directory of each.',
  );

export const changesetBranchTaken = (branch: string, repository: string, owner: string) =>
  refused(
    409,
    'changeset_branch_taken',
    `the branch ${branch} of ${repository} is that of a changeset of the batch change ${owner}`,
    'Use another branch, or close the other batch change and archive its changeset.',
  );

export const changesetNotOpen = (id: string, state: string) =>
  refused(
    409,
    'changeset_not_open',
    `the changeset ${id} is ${state}`,
    'Leave it out: `fumehood batches show` has the state of each. `fumehood batches publish` opens one that is not published.',
  );

export const batchSpecNotBuilt = (id: string) =>
  refused(
    409,
    'batch_spec_not_built',
    `the batch spec ${id} has no changesets yet`,
    `See how far they are: \`fumehood batches status ${id}\`. If nobody has asked for its execution: \`fumehood batches execute ${id}\`.`,
  );

export const batchSpecCanceled = (id: string) =>
  refused(
    409,
    'batch_spec_canceled',
    `workspaces of the batch spec ${id} were canceled, so their changesets are missing`,
    `Run them: \`fumehood batches retry ${id}\`.`,
  );

export const batchSpecForOther = (id: string) =>
  refused(
    409,
    'batch_spec_for_other',
    `the batch spec ${id} was sent for another batch change`,
    'Apply it without naming a batch change, or send it for this one.',
  );

export const publicationDecided = (id: string) =>
  refused(
    409,
    'publication_decided',
    `the batch spec says whether the changeset ${id} is published`,
    'Change `changesetTemplate.published` and apply the batch spec again, or take it out.',
  );

export const changesetForkUnsupported = (repository: string) =>
  refused(
    400,
    'changeset_fork_unsupported',
    `a changeset of ${repository} is to be made in a fork, but the instance knows no code host of the repository`,
    'Add the code host: `fumehood batches code-hosts set`. Or leave out `changesetTemplate.fork`.',
  );

export const changesetHostMissing = (repository: string) =>
  refused(
    409,
    'changeset_host_missing',
    `${repository} is on no code host that the instance knows`,
    'Add its code host: `fumehood batches code-hosts set`. Then retry the changeset.',
  );
