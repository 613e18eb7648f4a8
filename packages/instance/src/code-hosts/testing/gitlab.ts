import type { Forge, ForgePull } from './forge.ts';
import type { HostedAnswer, HostedRequest, Operations } from './published-host.ts';

const missing: HostedAnswer = { status: 404, body: { message: '404 Not found' } };

/** What GitLab answers for the project `group/inner/r` of a forge. */
export function gitlabOperations(forge: Forge): Operations {
  const listed = ({ number, head, base, title, body, state, sha, fork }: ForgePull) => ({
    source_project_id: fork ? 2 : 1,
    ...{ iid: number, web_url: `https://gitlab.test/group/inner/r/-/merge_requests/${number}`, title, sha },
    ...{
      state: state === 'open' ? 'opened' : state,
      draft: title.startsWith('Draft:'),
      description: body || null,
    },
    ...{ target_branch: base, source_branch: head },
  });
  const statuses = { passed: 'success', failed: 'failed', pending: 'running' } as const;
  const request = (pull: ForgePull) => ({
    ...listed(pull),
    detailed_merge_status: { clean: 'mergeable', unknown: 'checking', conflict: 'conflict' }[
      forge.mergeability
    ],
    head_pipeline: forge.check && { status: statuses[forge.check] },
  });
  const one = (found: ForgePull | undefined): HostedAnswer => (found ? { body: request(found) } : missing);
  const at = '/projects/{id}';
  const of = ({ params }: HostedRequest) => (params[0] === 'group/inner/r' ? forge.of(params[1]) : undefined);
  return {
    'GET /user': () => ({ body: { username: 'bot' } }),
    [`GET ${at}`]: ({ params }) => {
      if (params[0] === 'group/inner/r') return { body: { id: 1 } };
      if (params[0] !== 'bot/group-inner-r' || forge.fork === 'none') return missing;
      const status = forge.fork === 'there' ? 'finished' : 'started';
      return {
        body: {
          ...{ id: 2, path_with_namespace: params[0], import_status: status },
          forked_from_project: { id: 1 },
        },
      };
    },
    [`POST ${at}/fork`]: () => {
      forge.fork = 'being made';
      return { body: { id: 2 } };
    },
    [`GET ${at}/merge_requests`]: ({ query }) => ({
      body: forge.pulls
        .filter(({ head, state }) => state === 'open' && head === query.get('source_branch'))
        .map(listed),
    }),
    [`POST ${at}/merge_requests`]: ({ params, body }) => {
      const fork = params[0] === 'group/inner/r' ? null : (params[0] ?? null);
      const { source_branch, target_branch, title, description } = body as Record<string, string>;
      const made = forge.open(
        {
          ...{
            head: source_branch ?? '',
            base: target_branch ?? '',
            title: title ?? '',
            body: description ?? '',
          },
          draft: false,
        },
        fork,
      );
      if (made) return { body: request(made) };
      return {
        status: 409,
        body: { message: ['Another open merge request already exists for this source branch: !1'] },
      };
    },
    [`GET ${at}/merge_requests/{merge_request_iid}`]: (asked) => one(of(asked)),
    [`PUT ${at}/merge_requests/{merge_request_iid}`]: (asked) => {
      const found = of(asked);
      const { title, description, target_branch, state_event } = asked.body as Record<string, string>;
      if (found) {
        found.title = title ?? found.title;
        found.body = description ?? found.body;
        found.base = target_branch ?? found.base;
        if (state_event) found.state = state_event === 'close' ? 'closed' : 'open';
      }
      return one(found);
    },
    [`PUT ${at}/merge_requests/{merge_request_iid}/merge`]: (asked) => {
      const found = of(asked);
      const { squash } = asked.body as { squash: boolean };
      return found && forge.merge(found, squash ? 'squash' : 'merge')
        ? { body: request(found) }
        : { status: 405, body: { message: '405 Method Not Allowed' } };
    },
    [`GET ${at}/merge_requests/{merge_request_iid}/notes`]: (asked) => ({
      body: (of(asked)?.comments ?? []).map((body) => ({ id: 1, body })).toReversed(),
    }),
    [`POST ${at}/merge_requests/{merge_request_iid}/notes`]: (asked) => {
      const { body } = asked.body as { body: string };
      of(asked)?.comments.push(body);
      return { body: { id: 1, body } };
    },
    [`GET ${at}/merge_requests/{merge_request_iid}/reviewers`]: (asked) => ({
      body: (of(asked)?.reviews ?? [])
        .slice(-1)
        .map((one) => ({ state: one === 'approved' ? one : 'requested_changes' })),
    }),
    [`GET ${at}/merge_requests/{merge_request_iid}/approvals`]: () => ({ body: { approved_by: [] } }),
  };
}
