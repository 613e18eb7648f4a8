import { commentOnce, forkAt, forkName, isPath, mergeOnce, openOnce, required } from '../client.ts';
import type { CodeHost, HostFork, RemoteChangeset } from '../code-host.ts';
import { hostNotReady, hostRefused } from '../errors.ts';
import { deletedChangeset } from '../facts.ts';
import { openHost } from '../http.ts';
import type { HostClient, HostRepository } from '../repository.ts';
import { plainTitle, titleOf } from '../title.ts';
import {
  approvalsSchema,
  forkSchema,
  type MergeRequest,
  mergeRequestSchema,
  mergeRequestsSchema,
  mergeStatusSchema,
  noteSchema,
  notesSchema,
  projectSchema,
  reviewersSchema,
  userSchema,
} from './answers.ts';
import { draftTitles, gitlabChecks, gitlabReview, stateOf } from './facts.ts';

/**
 * GitLab, by its REST API of version 4. None of it was tried on GitLab itself: all requests and answers are tested against a server that
 * is held to published-api.json. Its routes, parameters, bodies and refusals were compared with GitLab's own description of its API
 * (doc/api/openapi/openapi_v2.yaml of its repository, as of commit 0338625c), and so were the names of the fields of merge requests,
 * reviewers and approvals. That description has almost all fields of answers as texts: their types were written by hand. Notes and
 * what a project says of its import were compared with the types of @gitbeaker/core 43.8 alone, what a fork says of its origin with answers
 * that others have recorded, and the user with nothing.
 */
export const gitlab: HostClient = { isRepository: isProject, open: openGitlab };

/** A project is below at most 20 groups. */
function isProject(path: readonly string[]): boolean {
  return isPath(path, 2, 22);
}

/** What GitLab says of a merge request while it finds out whether it can be merged. */
const undecided = ['approvals_syncing', 'checking', 'preparing', 'unchecked'];

function openGitlab(repository: HostRepository): CodeHost {
  const { name, token, path } = repository;
  const http = openHost({
    ...repository,
    url: `${repository.url}/api/v4`,
    headers: { authorization: `Bearer ${token}`, accept: 'application/json', 'user-agent': 'fumehood' },
  });
  const send = required(http, repository);
  const project = (of: string) => `/projects/${encodeURIComponent(of)}`;
  const at = project(path.join('/'));
  const idOf = async (of: string) =>
    (await send({ method: 'GET', path: project(of), answer: projectSchema })).id;
  const request = (externalId: string) => `${at}/merge_requests/${encodeURIComponent(externalId)}`;

  /** Adds to a merge request what other answers say of it. */
  async function complete(found: MergeRequest): Promise<RemoteChangeset> {
    const { iid, web_url, title, description, target_branch, source_branch, sha } = found;
    const of = request(String(iid));
    const reviewers = await send({ method: 'GET', path: `${of}/reviewers`, answer: reviewersSchema });
    const approvals = await send({ method: 'GET', path: `${of}/approvals`, answer: approvalsSchema });
    return {
      ...{
        externalId: String(iid),
        url: web_url,
        state: stateOf(found),
        title: plainTitle(draftTitles, title),
      },
      ...{ body: description ?? '', base: target_branch, head: source_branch, headCommit: sha ?? '' },
      ...{ review: gitlabReview(reviewers, approvals), checks: gitlabChecks(found) },
    };
  }

  const readOne = async (externalId: string) =>
    await send({ method: 'GET', path: request(externalId), answer: mergeRequestSchema });

  async function change(externalId: string, body: Record<string, string>): Promise<RemoteChangeset> {
    return await complete(
      await send({ method: 'PUT', path: request(externalId), body, answer: mergeRequestSchema }),
    );
  }

  async function find(head: string, fork: string | null = null): Promise<RemoteChangeset | null> {
    const query = {
      state: 'opened',
      source_branch: head,
      order_by: 'created_at',
      sort: 'asc',
      per_page: '100',
    };
    const list = { method: 'GET', path: `${at}/merge_requests`, query } as const;
    const requests = await send({ ...list, answer: mergeRequestsSchema });
    if (requests.length === 0) return null;
    const source = await idOf(fork ?? path.join('/'));
    const found = requests.find((one) => one.source_project_id === source);
    return found ? await complete(await readOne(String(found.iid))) : null;
  }

  async function read(externalId: string): Promise<RemoteChangeset> {
    const found = await http({ method: 'GET', path: request(externalId), answer: mergeRequestSchema });
    if (found) return await complete(found);
    await send({ method: 'GET', path: at, answer: projectSchema });
    return deletedChangeset(externalId);
  }

  async function makeFork(): Promise<HostFork> {
    const { username } = await send({ method: 'GET', path: '/user', answer: userSchema });
    const called = forkName(repository);
    const found = await http({ method: 'GET', path: project(`${username}/${called}`), answer: forkSchema });
    if (found === null) {
      const body = { name: called, path: called, namespace_path: username };
      await send({ method: 'POST', path: `${at}/fork`, body, answer: projectSchema });
      throw hostNotReady(name, 'it makes the fork');
    }
    if (found.forked_from_project?.id !== (await idOf(path.join('/'))))
      throw hostRefused(name, `${found.path_with_namespace} is there, and no fork of ${path.join('/')}`);
    if (!['none', 'finished'].includes(found.import_status)) throw hostNotReady(name, 'it makes the fork');
    return forkAt(repository, isProject, found.path_with_namespace, 'oauth2');
  }

  const close = (externalId: string) => change(externalId, { state_event: 'close' });

  return {
    kind: 'gitlab',
    drafts: true,
    find,
    forks: repository.forks,
    fork: makeFork,
    open: ({ head, fork = null, base, title, body, draft }) =>
      openOnce({ find, read, close }, { head, fork }, async () => {
        const target = fork === null ? {} : { target_project_id: await idOf(path.join('/')) };
        const made = {
          ...{ source_branch: head, target_branch: base, ...target },
          ...{ title: titleOf(draftTitles, title, draft), description: body },
        };
        const source = fork === null ? at : project(fork);
        const { iid } = await send({
          method: 'POST',
          path: `${source}/merge_requests`,
          body: made,
          answer: mergeRequestSchema,
        });
        return String(iid);
      }),
    read,
    async update(externalId, { title, body, base }) {
      const { draft } = await readOne(externalId);
      return await change(externalId, {
        ...{ title: titleOf(draftTitles, title, draft), description: body, target_branch: base },
      });
    },
    async undraft(externalId) {
      const { title } = await readOne(externalId);
      return await change(externalId, { title: titleOf(draftTitles, title, false) });
    },
    close,
    reopen: (externalId) => change(externalId, { state_event: 'reopen' }),
    merge: (externalId, { squash }) =>
      mergeOnce(repository, read, externalId, {
        merge: () =>
          send({
            ...{ method: 'PUT', path: `${request(externalId)}/merge`, answer: mergeRequestSchema },
            body: { squash },
          }),
        async isUndecided() {
          const asked = { method: 'GET', path: request(externalId), answer: mergeStatusSchema } as const;
          return undecided.includes((await send(asked)).detailed_merge_status);
        },
      }),
    comment(externalId, comment) {
      const path = `${request(externalId)}/notes`;
      // Notes cannot be asked for by their time: one that is to be found again is among the newest.
      const query = { order_by: 'created_at', sort: 'desc', per_page: '100' };
      return commentOnce(read, externalId, comment, {
        list: () => send({ method: 'GET', path, query, answer: notesSchema }),
        add: (body) => send({ method: 'POST', path, body: { body }, answer: noteSchema }),
      });
    },
  };
}
