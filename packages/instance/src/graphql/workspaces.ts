import { type BatchSpecRecord, type WorkspaceRecord, type WorkspaceState } from '@fumehood/protocol';
import { listWorkspaces } from '../batches/workspaces.ts';
import { repositoryNode } from './code.ts';
import { diffStatOf } from './diff-stat.ts';
import { idOf } from './ids.ts';
import { type Page, pageInfo, pageOf } from './pages.ts';
import type { QueryContext, SchemaPart } from './part.ts';

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

interface Workspaces extends Page {
  readonly state?: Uppercase<WorkspaceState> | null;
}

/** Returns the field with the workspaces of a batch spec. */
export function workspacesOf({ id, workspaces }: BatchSpecRecord) {
  return ({ state, ...page }: Workspaces, { deps: { db }, person, inTurn }: QueryContext) => {
    const only = (state?.toLowerCase() ?? null) as WorkspaceState | null;
    const filter = { state: only, ...pageOf(page) };
    // A client that asks only for the number gets it without the list.
    let found: ReturnType<typeof listWorkspaces> | undefined;
    const read = () => (found ??= inTurn(() => listWorkspaces(db, person, id, filter)));
    return {
      totalCount: Object.entries(workspaces)
        .filter(([one]) => only === null || one === only)
        .reduce((sum, [, count]) => sum + count, 0),
      nodes: async () => (await read()).workspaces.map(workspaceNode),
      pageInfo: async () => pageInfo((await read()).next),
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
      ...{ number: step + 1, startedAt, finishedAt, diffStat: diffStatOf(stat) },
      ...{ skipped: end === 'skipped', cachedResultFound: end === 'cached' },
    })),
    diffStat: diffStatOf(steps.at(-1)?.stat ?? null),
  };
}
