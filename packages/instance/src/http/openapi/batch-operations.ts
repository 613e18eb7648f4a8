import type { Operation } from './operation.ts';

/** The routes of batch changes, by `METHOD url`. */
export const batchOperations: Readonly<Record<string, Operation>> = {
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
