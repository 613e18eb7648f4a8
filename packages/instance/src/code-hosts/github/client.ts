import {
  commentOnce,
  forkAt,
  forkName,
  isOwned,
  mergeOnce,
  openOnce,
  readPages,
  required,
} from '../client.ts';
import type { CodeHost, RemoteChangeset } from '../code-host.ts';
import { hostRefused } from '../errors.ts';
import { deletedChangeset } from '../facts.ts';
import { openHost } from '../http.ts';
import type { HostClient, HostRepository } from '../repository.ts';
import {
  type CheckRun,
  checkRunsSchema,
  combinedStatusSchema,
  commentSchema,
  commentsSchema,
  mergeableSchema,
  mergedSchema,
  type Pull,
  pullSchema,
  pullsSchema,
  type Review,
  readySchema,
  repositorySchema,
  reviewsSchema,
} from './answers.ts';
import { githubChecks, githubReview, stateOf } from './facts.ts';

/** Items of a page of a list, the most that GitHub gives. */
const pageSize = 100;

const readyMutation =
  'mutation ($id: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $id}) { pullRequest { isDraft } } }';

/**
 * Returns where the API of GitHub is for the URL of its pages: `rest` is the path of the REST API below `url`, and `/graphql` that of the
 * other one. GitHub Enterprise Server has them on the same host, and GitHub.com and `*.ghe.com` on another one.
 */
export function apiOf(url: string): { readonly url: string; readonly rest: string } {
  const { protocol, host } = new URL(url);
  const isCloud = host === 'github.com' || host.endsWith('.ghe.com');
  return isCloud ? { url: `${protocol}//api.${host}`, rest: '' } : { url: `${url}/api`, rest: '/v3' };
}

/**
 * GitHub, by its REST API of version 2022-11-28, and by GraphQL for what REST cannot do: to make a draft ready for review. None of it was
 * tried on GitHub itself. The REST requests and answers are tested against a server that is held to published-api.json, a part of the
 * description that GitHub publishes of its API, and the GraphQL mutation against one that knows this mutation alone.
 *
 * A token that may not read check runs (a fine-grained one) still shows commit statuses.
 */
export const github: HostClient = { isRepository: isOwned, open: openGithub };

function openGithub(repository: HostRepository): CodeHost {
  const { name, token, path } = repository;
  const api = apiOf(repository.url);
  const http = openHost({
    ...repository,
    url: api.url,
    headers: {
      authorization: `Bearer ${token}`,
      accept: 'application/vnd.github+json',
      'x-github-api-version': '2022-11-28',
      'user-agent': 'fumehood',
    },
  });
  const send = required(http, repository);
  const at = `${api.rest}/repos/${path.join('/')}`;
  const pull = (externalId: string) => `${at}/pulls/${encodeURIComponent(externalId)}`;

  /** Adds to a pull request what other answers say of it. */
  async function complete(found: Pull): Promise<RemoteChangeset> {
    const { number, html_url, title, body, base, head } = found;
    const commit = `${at}/commits/${head.sha}`;
    const [reviews, runs, statuses] = [
      await readReviews(number),
      await readCheckRuns(commit),
      await send({ method: 'GET', path: `${commit}/status`, answer: combinedStatusSchema }),
    ];
    return {
      ...{ externalId: String(number), url: html_url, state: stateOf(found), title, body: body ?? '' },
      ...{ base: base.ref, head: head.ref, headCommit: head.sha },
      ...{ review: githubReview(found, reviews), checks: githubChecks(runs, statuses) },
    };
  }

  const per_page = String(pageSize);

  async function readReviews(number: number): Promise<Review[]> {
    const path = `${pull(String(number))}/reviews`;
    return await readPages(
      (page) => send({ method: 'GET', path, query: { per_page, page }, answer: reviewsSchema }),
      pageSize,
    );
  }

  async function readCheckRuns(commit: string): Promise<CheckRun[]> {
    const request = { method: 'GET', path: `${commit}/check-runs`, optional: true } as const;
    return await readPages(async (page) => {
      const part = await http({ ...request, query: { per_page, page }, answer: checkRunsSchema });
      return part?.check_runs ?? [];
    }, pageSize);
  }

  async function change(externalId: string, body: Record<string, string>): Promise<RemoteChangeset> {
    return await complete(await send({ method: 'PATCH', path: pull(externalId), body, answer: pullSchema }));
  }

  async function find(head: string, fork: string | null = null): Promise<RemoteChangeset | null> {
    const query = {
      state: 'open',
      head: `${fork?.split('/')[0] ?? path[0]}:${head}`,
      sort: 'created',
      direction: 'asc',
      per_page: '1',
    };
    const [found] = await send({ method: 'GET', path: `${at}/pulls`, query, answer: pullsSchema });
    return found ? await complete(found) : null;
  }

  async function read(externalId: string): Promise<RemoteChangeset> {
    const found = await http({ method: 'GET', path: pull(externalId), answer: pullSchema });
    if (found) return await complete(found);
    await send({ method: 'GET', path: at, answer: repositorySchema });
    return deletedChangeset(externalId);
  }

  const close = (externalId: string) => change(externalId, { state: 'closed' });

  return {
    kind: 'github',
    drafts: true,
    find,
    forks: repository.forks,
    // It is made in the background: the git server does not know it at once.
    async fork() {
      const body = { name: forkName(repository) };
      const made = await send({ method: 'POST', path: `${at}/forks`, body, answer: repositorySchema });
      return forkAt(repository, isOwned, made.full_name, 'x-access-token');
    },
    open: ({ head, fork = null, ...request }) =>
      openOnce({ find, read, close }, { head, fork }, async () => {
        const body = { head: fork === null ? head : `${fork.split('/')[0]}:${head}`, ...request };
        const { number } = await send({ method: 'POST', path: `${at}/pulls`, body, answer: pullSchema });
        return String(number);
      }),
    read,
    update: (externalId, { title, body, base }) => change(externalId, { title, body, base }),
    async undraft(externalId) {
      const { node_id, draft } = await send({ method: 'GET', path: pull(externalId), answer: pullSchema });
      if (draft) {
        const body = { query: readyMutation, variables: { id: node_id } };
        const { data, errors } = await send({ method: 'POST', path: '/graphql', body, answer: readySchema });
        if (!data?.markPullRequestReadyForReview)
          throw hostRefused(name, errors?.[0]?.message ?? 'it does not make the draft ready for review');
      }
      return await complete(await send({ method: 'GET', path: pull(externalId), answer: pullSchema }));
    },
    close,
    reopen: (externalId) => change(externalId, { state: 'open' }),
    merge: (externalId, { squash }) =>
      mergeOnce(repository, read, externalId, {
        merge: () =>
          send({
            ...{ method: 'PUT', path: `${pull(externalId)}/merge`, answer: mergedSchema },
            body: { merge_method: squash ? 'squash' : 'merge' },
          }),
        async isUndecided() {
          const path = pull(externalId);
          return (await send({ method: 'GET', path, answer: mergeableSchema })).mergeable === null;
        },
      }),
    comment(externalId, comment) {
      const path = `${at}/issues/${encodeURIComponent(externalId)}/comments`;
      const asked = { since: comment.since, per_page };
      return commentOnce(read, externalId, comment, {
        list: () =>
          readPages(
            (page) => send({ method: 'GET', path, query: { ...asked, page }, answer: commentsSchema }),
            pageSize,
          ),
        add: (body) => send({ method: 'POST', path, body: { body }, answer: commentSchema }),
      });
    },
  };
}
