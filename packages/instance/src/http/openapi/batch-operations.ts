import { relativePathSchema } from '@fumehood/protocol';
import * as z from 'zod';
import type { Operation } from './operation.ts';

/** The routes of batch changes, by `METHOD url`. */
export const batchOperations: Readonly<Record<string, Operation>> = {
  'GET /api/batch-spec-schema': {
    summary: 'The JSON Schema of batch specs, for editors.',
    answers: { 200: 'application/json' },
  },
  'POST /api/batch-specs': {
    summary:
      'Takes a batch spec, and finds its workspaces. With `execute` its steps run as soon as they are found. A broken one is refused with line and column.',
    answers: { 201: 'BatchSpec' },
  },
  'GET /api/batch-specs/:spec': { summary: 'A batch spec as it is now.', answers: { 200: 'BatchSpec' } },
  'DELETE /api/batch-specs/:spec': {
    summary: 'Deletes a batch spec that neither runs nor was applied, with its workspaces.',
    answers: { 204: null },
  },
  'GET /api/batch-specs/:spec/events': {
    summary:
      'Follows a batch spec until it has ended: server-sent events, each with a BatchEvent as `data`. All workspaces come first, and each one again when it has changed. Resumes after `Last-Event-ID`.',
    headers: { 'Last-Event-ID': z.int().nonnegative().optional() },
    answers: { 200: { events: 'BatchEvent' } },
  },
  'GET /api/batch-specs/:spec/workspaces': {
    summary: 'The workspaces of a batch spec, page by page, and how far each is.',
    answers: { 200: 'BatchWorkspaces' },
  },
  'GET /api/batch-specs/:spec/workspaces/:workspace': {
    summary: 'A workspace, with what its steps have written and changed.',
    answers: { 200: 'BatchWorkspace' },
  },
  'PUT /api/batch-specs/:spec/files/*': {
    summary:
      'Stores a file that the steps of a batch spec mount, by its path from the directory of the batch spec, before the execution.',
    bytes: true,
    wildcard: { path: '/api/batch-specs/{spec}/files/{path}', name: 'path', schema: relativePathSchema },
    answers: { 200: 'BatchFile' },
  },
  'GET /api/batch-specs/:spec/preview': {
    summary: 'What would happen to each changeset if the batch spec were applied. Nothing has happened yet.',
    answers: { 200: 'BatchPreview' },
  },
  'POST /api/batch-specs/:spec/apply': {
    summary:
      'Makes a batch spec the goal of the batch change of its name: its changesets are pushed, opened, updated and closed from now on. Applying it again changes nothing.',
    answers: { 200: 'BatchChange' },
  },
  'GET /api/batch-changes': {
    summary: "The batch changes of the caller's namespaces, newest first; for an admin, of all.",
    answers: { 200: 'BatchChanges' },
  },
  'GET /api/batch-changes/:batchChange': { summary: 'A batch change.', answers: { 200: 'BatchChange' } },
  'DELETE /api/batch-changes/:batchChange': {
    summary:
      'Deletes a batch change. Its changesets stay on their code hosts as they are, and the instance follows them no longer.',
    answers: { 204: null },
  },
  'POST /api/batch-changes/:batchChange/move': {
    summary: 'Gives a batch change another name or namespace, and leaves its changesets as they are.',
    answers: { 200: 'BatchChange' },
  },
  'GET /api/batch-changes/:batchChange/changesets': {
    summary: 'The changesets of a batch change, also archived and detached ones.',
    answers: { 200: 'Changesets' },
  },
  'POST /api/batch-changes/:batchChange/close': {
    summary: 'Closes a batch change, and with `closeChangesets` its open changesets on their code hosts.',
    answers: { 200: 'BatchChange' },
  },
  'POST /api/batch-changes/:batchChange/publish': {
    summary: 'Publishes changesets of which the batch spec does not say whether they are.',
    answers: { 200: 'BatchChange' },
  },
  'POST /api/batch-changes/:batchChange/merge': {
    summary:
      'Merges open changesets on their code hosts, once each. What a host refuses is a failure of the changeset, which is followed all the same.',
    answers: { 200: 'BatchChange' },
  },
  'POST /api/batch-changes/:batchChange/comment': {
    summary: 'Adds a comment to changesets on their code hosts, once each.',
    answers: { 200: 'BatchChange' },
  },
  'POST /api/batch-changes/:batchChange/close-changesets': {
    summary: 'Closes changesets on their code hosts. The next batch spec that has them opens them again.',
    answers: { 200: 'BatchChange' },
  },
  'POST /api/batch-changes/:batchChange/archive': {
    summary: 'Takes changesets out of sight. They stay on their code hosts as they are.',
    answers: { 200: 'BatchChange' },
  },
  'POST /api/batch-changes/:batchChange/detach': {
    summary: 'Lets changesets go: the batch change follows them no longer.',
    answers: { 200: 'BatchChange' },
  },
  'POST /api/batch-changes/:batchChange/reenqueue': {
    summary: 'Tries again to do what has failed with changesets.',
    answers: { 200: 'BatchChange' },
  },
  'POST /api/batch-changes/:batchChange/resume': {
    summary: 'Lets the waves of a batch change go on that too many failed checks have stopped.',
    answers: { 200: 'BatchChange' },
  },
  'POST /api/batch-specs/:spec/execute': {
    summary: 'Runs the steps of a batch spec in its workspaces. Steps that have a result are not run again.',
    answers: { 200: 'BatchSpec' },
  },
  'POST /api/batch-specs/:spec/cancel': {
    summary: 'Cancels the execution of a batch spec, or of some of its workspaces. What has ended stays.',
    answers: { 200: 'BatchSpec' },
  },
  'POST /api/batch-specs/:spec/retry': {
    summary: 'Runs workspaces again that have failed or were canceled, from the step that failed.',
    answers: { 200: 'BatchSpec' },
  },
  'GET /api/batch-settings': {
    summary: 'What the jobs of batch specs get that were sent without an option.',
    answers: { 200: 'BatchSettings' },
  },
  'PUT /api/batch-settings': {
    summary: 'Sets what the jobs of batch specs get, in place of earlier settings.',
    answers: { 200: 'BatchSettings' },
  },
  'DELETE /api/batch-settings': {
    summary: 'Lets the jobs of batch specs get what other jobs get, and no network.',
    answers: { 204: null },
  },
  'GET /api/batch-rollout': {
    summary: 'When and how fast changesets are changed on code hosts.',
    answers: { 200: 'Rollout' },
  },
  'PUT /api/batch-rollout': {
    summary: 'Sets when and how fast changesets are changed on code hosts, in place of earlier settings.',
    answers: { 200: 'Rollout' },
  },
  'DELETE /api/batch-rollout': {
    summary: 'Lets changesets be changed at once.',
    answers: { 204: null },
  },
  'GET /api/code-hosts': {
    summary:
      'The code hosts on which the instance opens changesets, without their tokens, which no answer has.',
    answers: { 200: 'CodeHosts' },
  },
  'PUT /api/code-hosts/:name': {
    summary:
      'Lets the instance open changesets in the repositories of a code host, in place of an earlier one of this name.',
    answers: { 200: 'CodeHost' },
  },
  'DELETE /api/code-hosts/:name': {
    summary: 'Removes a code host: branches are still pushed to its repositories, and no changesets opened.',
    answers: { 204: null },
  },
};
