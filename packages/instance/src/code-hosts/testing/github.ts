import type { Forge, ForgePull } from './forge.ts';
import type { HostedAnswer, Operations } from './published-host.ts';

const missing: HostedAnswer = { status: 404, body: { message: 'Not Found' } };

/** What GitHub answers for the repository `o/r` of a forge. */
export function githubOperations(forge: Forge): { readonly rest: Operations; readonly graphql: Operations } {
  const pull = ({ number, head, base, title, body, draft, state, sha }: ForgePull) => ({
    ...{ number, node_id: `PR_${number}`, html_url: `https://github.test/o/r/pull/${number}`, title, draft },
    ...{ state: state === 'open' ? 'open' : 'closed', body: body || null },
    ...{ merged_at: state === 'merged' ? '2026-01-01T00:00:00Z' : null },
    ...{ base: { ref: base }, head: { ref: head, sha }, requested_reviewers: [], requested_teams: [] },
    mergeable: forge.mergeability === 'unknown' ? null : forge.mergeability === 'clean',
  });
  const one = (found: ForgePull | undefined): HostedAnswer => (found ? { body: pull(found) } : missing);
  const at = '/repos/{owner}/{repo}';
  const comment = (body: string) => ({ id: 1, body });
  const conclusions = { passed: 'success', failed: 'failure', pending: null } as const;
  return {
    rest: {
      [`GET ${at}`]: () => ({ body: { full_name: 'o/r' } }),
      [`GET ${at}/pulls`]: ({ query }) => ({
        body: forge.pulls
          .filter(
            ({ head, state, fork }) =>
              state === 'open' && `${fork ? 'bot' : 'o'}:${head}` === query.get('head'),
          )
          .map(pull),
      }),
      [`POST ${at}/pulls`]: ({ body }) => {
        const request = body as Parameters<Forge['open']>[0];
        const [branch = '', owner] = request.head.split(':').toReversed();
        const made = forge.open({ ...request, head: branch }, owner ? `${owner}/o-r` : null);
        if (made) return { body: pull(made) };
        const message = 'A pull request already exists for o:topic/one.';
        return { status: 422, body: { message: 'Validation Failed', errors: [{ message }] } };
      },
      [`GET ${at}/pulls/{pull_number}`]: ({ params }) => one(forge.of(params[2])),
      [`PATCH ${at}/pulls/{pull_number}`]: ({ params, body }) => {
        const found = forge.of(params[2]);
        return one(found && Object.assign(found, body));
      },
      [`GET ${at}/pulls/{pull_number}/reviews`]: ({ params, query }) => {
        const states = { approved: 'APPROVED', changes_requested: 'CHANGES_REQUESTED' };
        const reviews = (forge.of(params[2])?.reviews ?? []).map((one) => ({
          user: { id: 1 },
          state: states[one],
        }));
        // The first page is full of comments.
        const comments = Array.from({ length: 100 }, () => ({ user: null, state: 'COMMENTED' }));
        return { body: query.get('page') === '1' ? comments : reviews };
      },
      [`POST ${at}/forks`]: ({ body }) => ({ body: { full_name: `bot/${(body as { name: string }).name}` } }),
      [`PUT ${at}/pulls/{pull_number}/merge`]: ({ params, body }) => {
        const found = forge.of(params[2]);
        const { merge_method } = body as { merge_method: 'merge' | 'squash' };
        return found && forge.merge(found, merge_method)
          ? { body: { merged: true, message: 'Pull Request successfully merged', sha: forge.sha } }
          : { status: 405, body: { message: 'Pull Request is not mergeable' } };
      },
      [`GET ${at}/issues/{issue_number}/comments`]: ({ params, query }) => {
        // The first page is full of what others have written.
        const others = Array.from({ length: 100 }, () => comment('Well done'));
        const comments = (forge.of(params[2])?.comments ?? []).map(comment);
        return { body: query.get('page') === '1' ? others : comments };
      },
      [`POST ${at}/issues/{issue_number}/comments`]: ({ params, body }) => {
        const { body: text } = body as { body: string };
        forge.of(params[2])?.comments.push(text);
        return { body: comment(text) };
      },
      [`GET ${at}/commits/{ref}/check-runs`]: () => {
        const { check } = forge;
        const runs =
          check === null
            ? []
            : [{ status: check === 'pending' ? 'queued' : 'completed', conclusion: conclusions[check] }];
        return { body: { total_count: runs.length, check_runs: runs } };
      },
      [`GET ${at}/commits/{ref}/status`]: () => ({ body: { state: 'pending', total_count: 0 } }),
    },
    graphql: {
      'POST /api/graphql': ({ body }) => {
        const { query, variables } = body as { query: string; variables: { id: string } };
        const found = forge.of(variables.id.replace('PR_', ''));
        if (!query.includes('markPullRequestReadyForReview') || !found)
          return { body: { data: null, errors: [{ message: 'Could not resolve to a node' }] } };
        found.draft = false;
        return { body: { data: { markPullRequestReadyForReview: { pullRequest: { isDraft: false } } } } };
      },
    },
  };
}
