import type { Forge, ForgePull } from './forge.ts';
import type { HostedAnswer, Operations } from './published-host.ts';

const missing: HostedAnswer = { status: 404, body: { message: 'not found' } };

/** What Gitea answers for the repository `o/r` of a forge. */
export function giteaOperations(forge: Forge): Operations {
  const pull = ({ number, head, base, title, body, state, sha, fork }: ForgePull) => ({
    ...{
      number,
      html_url: `https://gitea.test/o/r/pulls/${number}`,
      title,
      body,
      draft: title.startsWith('WIP:'),
    },
    ...{ state: state === 'open' ? 'open' : 'closed', merged: state === 'merged' },
    ...{
      base: { label: base, sha: 'b'.repeat(40) },
      head: { label: head, sha, repo: { full_name: fork ?? 'o/r' } },
    },
  });
  const one = (found: ForgePull | undefined): HostedAnswer => (found ? { body: pull(found) } : missing);
  const at = '/repos/{owner}/{repo}';
  const states = { passed: 'success', failed: 'failure', pending: 'pending' } as const;
  return {
    'GET /user': () => ({ body: { login: 'bot' } }),
    [`GET ${at}`]: ({ params }) => {
      if (params[0] === 'o') return { body: { full_name: 'o/r', empty: false } };
      if (forge.fork === 'none') return missing;
      const isEmpty = forge.fork !== 'there';
      return { body: { full_name: params.join('/'), empty: isEmpty, parent: { full_name: 'o/r' } } };
    },
    [`POST ${at}/forks`]: ({ body }) => {
      forge.fork = 'being made';
      return { body: { full_name: `bot/${(body as { name: string }).name}` } };
    },
    [`GET ${at}/pulls`]: ({ query }) => {
      const open = forge.pulls.filter(({ state }) => state === 'open');
      const other: ForgePull = {
        ...{ number: 99, head: 'other', sha: forge.sha, base: 'main', title: 't', body: '' },
        ...{ draft: false, state: 'open', reviews: [], comments: [], merged: null, fork: null },
      };
      // Pages are smaller than what was asked for.
      return {
        body: [other, ...open]
          .slice(Number(query.get('page')) - 1)
          .slice(0, 1)
          .map(pull),
      };
    },
    [`POST ${at}/pulls`]: ({ body }) => {
      const request = body as Parameters<Forge['open']>[0];
      const [branch = '', owner] = request.head.split(':').toReversed();
      const made = forge.open({ ...request, head: branch }, owner ? `${owner}/o-r` : null);
      return made
        ? { body: pull(made) }
        : { status: 409, body: { message: 'pull request already exists for these targets' } };
    },
    [`GET ${at}/pulls/{index}`]: ({ params }) => one(forge.of(params[2])),
    [`PATCH ${at}/pulls/{index}`]: ({ params, body }) => {
      const found = forge.of(params[2]);
      return one(found && Object.assign(found, body));
    },
    [`GET ${at}/pulls/{index}/reviews`]: ({ params, query }) => {
      const kinds = { approved: 'APPROVED', changes_requested: 'REQUEST_CHANGES' };
      const reviews = (forge.of(params[2])?.reviews ?? []).map((one) => ({
        user: { id: 1 },
        state: kinds[one],
        dismissed: false,
      }));
      return { body: query.get('page') === '1' ? reviews : [] };
    },
    [`POST ${at}/pulls/{index}/merge`]: ({ params, body }) => {
      const found = forge.of(params[2]);
      if (found && forge.merge(found, (body as { do: 'merge' | 'squash' }).do)) return { body: undefined };
      const message = forge.mergeability === 'unknown' ? 'Please try again later' : 'not ready to merge';
      return { status: 405, body: { message } };
    },
    [`GET ${at}/issues/{index}/comments`]: ({ params }) => ({
      body: (forge.of(params[2])?.comments ?? []).map((body) => ({ body })),
    }),
    [`POST ${at}/issues/{index}/comments`]: (asked) => {
      const { params } = asked;
      const { body } = asked.body as { body: string };
      forge.of(params[2])?.comments.push(body);
      return { body: { body } };
    },
    [`GET ${at}/commits/{ref}/status`]: () => ({
      body: { state: states[forge.check ?? 'pending'], total_count: forge.check === null ? 0 : 1 },
    }),
  };
}
