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
import type { CodeHost, HostFork, RemoteChangeset } from '../code-host.ts';
import { hostAnswerInvalid, hostNotReady, hostRefused } from '../errors.ts';
import { deletedChangeset } from '../facts.ts';
import { openHost } from '../http.ts';
import type { HostClient, HostRepository } from '../repository.ts';
import { plainTitle, titleOf } from '../title.ts';
import {
  combinedStatusSchema,
  commentSchema,
  commentsSchema,
  emptySchema,
  forkSchema,
  type Pull,
  pullSchema,
  pullsSchema,
  type Review,
  repositorySchema,
  reviewsSchema,
  userSchema,
} from './answers.ts';
import { draftTitles, giteaChecks, giteaReview, stateOf } from './facts.ts';

/** Items of a page of a list. A host may give fewer. */
const pageSize = 50;

/**
 * Gitea, by its API of version 1, with the words before a title that make a draft as Gitea has them without other settings. All of it is
 * tested against Gitea itself (test/interop/gitea.test.ts), besides the limits of requests, which Gitea does not have: those are of proxies.
 */
export const gitea: HostClient = { isRepository: isOwned, open: openGitea };

function openGitea(repository: HostRepository): CodeHost {
  const { name, token, path } = repository;
  const http = openHost({
    ...repository,
    url: `${repository.url}/api/v1`,
    headers: { authorization: `token ${token}`, accept: 'application/json', 'user-agent': 'fumehood' },
  });
  const send = required(http, repository);
  const at = `/repos/${path.join('/')}`;
  const pull = (externalId: string) => `${at}/pulls/${encodeURIComponent(externalId)}`;

  /** Adds to a pull request what other answers say of it. */
  async function complete(found: Pull): Promise<RemoteChangeset> {
    const { number, html_url, title, body, base, head } = found;
    const reviews = await readReviews(number);
    const statuses = await send({
      ...{ method: 'GET', path: `${at}/commits/${head.sha}/status` },
      ...{ query: { limit }, answer: combinedStatusSchema },
    });
    return {
      ...{
        externalId: String(number),
        url: html_url,
        state: stateOf(found),
        title: plainTitle(draftTitles, title),
      },
      ...{ body, base: base.label, head: head.label, headCommit: head.sha },
      ...{ review: giteaReview(reviews), checks: giteaChecks(statuses) },
    };
  }

  const limit = String(pageSize);

  async function readReviews(number: number): Promise<Review[]> {
    const path = `${pull(String(number))}/reviews`;
    return await readPages(
      (page) => send({ method: 'GET', path, query: { limit, page }, answer: reviewsSchema }),
      1,
    );
  }

  async function change(externalId: string, body: Record<string, string>): Promise<RemoteChangeset> {
    return await complete(await send({ method: 'PATCH', path: pull(externalId), body, answer: pullSchema }));
  }

  /** The API finds no pull requests by their head branch alone: all open ones are read. */
  async function find(head: string, fork: string | null = null): Promise<RemoteChangeset | null> {
    const request = { method: 'GET', path: `${at}/pulls`, answer: pullsSchema } as const;
    const open = await readPages(
      (page) => send({ ...request, query: { state: 'open', limit, page } }),
      1,
      (pages) => hostAnswerInvalid(name, `it has more than ${pages} pages of open pull requests`),
    );
    const owner = fork ?? path.join('/');
    const [oldest] = open
      .filter((one) => one.head.label === head && (one.head.repo?.full_name ?? owner) === owner)
      .sort((a, b) => a.number - b.number);
    return oldest ? await complete(oldest) : null;
  }

  const readOne = async (externalId: string) =>
    await send({ method: 'GET', path: pull(externalId), answer: pullSchema });

  async function read(externalId: string): Promise<RemoteChangeset> {
    const found = await http({ method: 'GET', path: pull(externalId), answer: pullSchema });
    if (found) return await complete(found);
    await send({ method: 'GET', path: at, answer: repositorySchema });
    return deletedChangeset(externalId);
  }

  async function makeFork(): Promise<HostFork> {
    const { login } = await send({ method: 'GET', path: '/user', answer: userSchema });
    const called = forkName(repository);
    const request = { path: `/repos/${login}/${called}`, answer: forkSchema };
    const found = await http({ method: 'GET', ...request });
    if (found === null) {
      const body = { name: called };
      await send({ method: 'POST', path: `${at}/forks`, body, answer: repositorySchema });
      throw hostNotReady(name, 'it makes the fork');
    }
    if (found.parent?.full_name !== path.join('/'))
      throw hostRefused(name, `${found.full_name} is there, and no fork of ${path.join('/')}`);
    if (found.empty) throw hostNotReady(name, 'it makes the fork');
    return forkAt(repository, isOwned, found.full_name, login);
  }

  const close = (externalId: string) => change(externalId, { state: 'closed' });

  return {
    kind: 'gitea',
    drafts: true,
    find,
    forks: repository.forks,
    fork: makeFork,
    open: ({ head: branch, fork = null, base, title, body, draft }) =>
      openOnce({ find, read, close }, { head: branch, fork }, async () => {
        const head = fork === null ? branch : `${fork.split('/')[0]}:${branch}`;
        const request = { head, base, title: titleOf(draftTitles, title, draft), body };
        const path = `${at}/pulls`;
        const { number } = await send({ method: 'POST', path, body: request, answer: pullSchema });
        return String(number);
      }),
    read,
    async update(externalId, { title, body, base }) {
      const now = await readOne(externalId);
      return await change(externalId, { title: titleOf(draftTitles, title, now.draft), body, base });
    },
    async undraft(externalId) {
      const { title } = await readOne(externalId);
      return await change(externalId, { title: titleOf(draftTitles, title, false) });
    },
    close,
    reopen: (externalId) => change(externalId, { state: 'open' }),
    merge: (externalId, { squash }) =>
      mergeOnce(repository, read, externalId, {
        merge: () =>
          send({
            ...{ method: 'POST', path: `${pull(externalId)}/merge`, answer: emptySchema },
            body: { do: squash ? 'squash' : 'merge' },
          }),
        // Gitea says the same of a conflict.
        isUndecided: (refused) => Promise.resolve(/try again later/i.test(refused.message)),
      }),
    comment(externalId, comment) {
      const path = `${at}/issues/${encodeURIComponent(externalId)}/comments`;
      return commentOnce(read, externalId, comment, {
        list: () => send({ method: 'GET', path, query: { since: comment.since }, answer: commentsSchema }),
        add: (body) => send({ method: 'POST', path, body: { body }, answer: commentSchema }),
      });
    },
  };
}
