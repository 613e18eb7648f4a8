import {
  type BatchSpecRecord,
  type DiffStat,
  numberInText,
  type WorkspaceRecord,
  type WorkspaceState,
} from '@fumehood/protocol';
import { listWorkspaces } from '../batches/workspaces.ts';
import { badRequest } from '../errors.ts';
import { repositoryNode } from './code.ts';
import { idOf } from './ids.ts';
import type { QueryContext, SchemaPart } from './part.ts';

const pageMax = 100;

/** The workspaces of batch specs, by the fields of upstream. */
export const workspacesPart: SchemaPart = {
  types: `
    enum BatchSpecWorkspaceState { SKIPPED, PENDING, QUEUED, PROCESSING, COMPLETED, FAILED, CANCELED }
    type BatchSpecWorkspaceConnection {
      "Of all pages."
      totalCount: Int!
      nodes: [BatchSpecWorkspace!]!
      pageInfo: PageInfo!
    }
    interface BatchSpecWorkspace {
      id: ID!
      state: BatchSpecWorkspaceState!
      queuedAt: String
      startedAt: String
      finishedAt: String
    }
    type VisibleBatchSpecWorkspace implements BatchSpecWorkspace {
      id: ID!
      state: BatchSpecWorkspaceState!
      repository: Repository!
      branch: GitRef!
      path: String!
      onlyFetchWorkspace: Boolean!
      ignored: Boolean!
      unsupported: Boolean!
      queuedAt: String
      startedAt: String
      finishedAt: String
      "Why it failed, or was skipped."
      failureMessage: String
      "Those of its latest execution that have begun."
      steps: [BatchSpecWorkspaceStep!]!
      "Null: it has no result."
      diffStat: DiffStat
    }
    type BatchSpecWorkspaceStep {
      "From 1."
      number: Int!
      skipped: Boolean!
      cachedResultFound: Boolean!
      startedAt: String
      finishedAt: String
      diffStat: DiffStat
    }
    type DiffStat { added: Int!, deleted: Int! }
  `,
  root: {},
};

interface Page {
  readonly first: number;
  readonly after?: string | null;
  readonly state?: Uppercase<WorkspaceState> | null;
}

/** Returns the field with the workspaces of a batch spec. */
export function workspacesOf({ id, workspaces }: BatchSpecRecord) {
  return ({ first, after, state }: Page, { deps: { db }, person, inTurn }: QueryContext) => {
    if (first < 1 || first > pageMax) throw badRequest(`\`first\` is from 1 to ${pageMax}`);
    const place = numberInText.safeParse(after ?? '0');
    if (!place.success) throw badRequest('`after` is an `endCursor` of this list');
    const only = (state?.toLowerCase() ?? null) as WorkspaceState | null;
    const filter = { state: only, after: place.data, limit: first };
    // A client that asks only for the number gets it without the list.
    let page: ReturnType<typeof listWorkspaces> | undefined;
    const read = () => (page ??= inTurn(() => listWorkspaces(db, person, id, filter)));
    return {
      totalCount: Object.entries(workspaces)
        .filter(([one]) => only === null || one === only)
        .reduce((sum, [, count]) => sum + count, 0),
      nodes: async () => (await read()).workspaces.map(workspaceNode),
      async pageInfo() {
        const { next } = await read();
        return { endCursor: next === null ? null : String(next), hasNextPage: next !== null };
      },
    };
  };
}

function workspaceNode({ id, repository, branch, commit, reason, steps, ...record }: WorkspaceRecord) {
  const state = record.state.toUpperCase();
  return {
    __typename: 'VisibleBatchSpecWorkspace',
    ...{ ...record, id: idOf('VisibleBatchSpecWorkspace', id), state, failureMessage: reason },
    repository: repositoryNode(repository),
    branch: { name: branch, target: { oid: commit } },
    steps: steps.map(({ step, state: end, startedAt, finishedAt, stat }) => ({
      ...{ number: step + 1, startedAt, finishedAt, diffStat: diffStat(stat) },
      ...{ skipped: end === 'skipped', cachedResultFound: end === 'cached' },
    })),
    diffStat: diffStat(steps.at(-1)?.stat ?? null),
  };
}

const diffStat = (stat: DiffStat | null) => stat && { added: stat.addedLines, deleted: stat.deletedLines };
