import { parseBatchSpec } from '@fumehood/batch-spec';
import { type BatchSpecRecord, type WorkspaceRecord, type WorkspaceState } from '@fumehood/protocol';
import { listWorkspaces, readTies } from '../batches/workspaces.ts';
import { type QueuePosition, readQueuePosition } from '../queue/sql/shares.ts';
import { repositoryNode } from './code.ts';
import { diffStatOf } from './diff-stat.ts';
import { idOf } from './ids.ts';
import { once } from './once.ts';
import { type Page, pageInfo, pageOf } from './pages.ts';
import type { QueryContext, SchemaPart } from './part.ts';
import { workOf } from './workspace-steps.ts';

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
    type VisibleBatchSpecWorkspace implements BatchSpecWorkspace & Node {
      id: ID!
      state: BatchSpecWorkspaceState!
      batchSpec: BatchSpec!
      repository: Repository!
      branch: GitRef!
      path: String!
      "The files that the query of the batch spec has found in it."
      searchResultPaths: [String!]!
      onlyFetchWorkspace: Boolean!
      ignored: Boolean!
      unsupported: Boolean!
      "Whether all of its steps had results before they would have run."
      cachedResultFound: Boolean!
      "How many of its steps had."
      stepCacheResultCount: Int!
      queuedAt: String
      startedAt: String
      finishedAt: String
      "Why it failed, or was skipped."
      failureMessage: String
      "From 1, among the waiting jobs of whoever sent the batch spec, as far as it is known; null: it does not wait for an executor."
      placeInQueue: Int
      "The same among all waiting jobs."
      placeInGlobalQueue: Int
      "Of the latest attempt; null: there was none."
      executor: Executor
      "What its job has written down; null: it has none."
      stages: BatchSpecWorkspaceStages
      "Those of its latest execution that have begun."
      steps: [BatchSpecWorkspaceStep!]!
      "The one with this number, from 1; null: it has not begun."
      step(index: Int!): BatchSpecWorkspaceStep
      changesetSpecs: [ChangesetSpec!]!
      "Null: it has no result."
      diffStat: DiffStat
    }
    type Executor { id: ID!, hostname: String! }
    type DiffStat { added: Int!, deleted: Int! }
  `,
  root: {},
};

interface Workspaces extends Page {
  readonly state?: Uppercase<WorkspaceState> | null;
}

/** Returns the field with the workspaces of a batch spec, whose node is `specNode`. */
export function workspacesOf(spec: BatchSpecRecord, specNode: () => unknown) {
  const { id, workspaces } = spec;
  return ({ state, ...page }: Workspaces, { deps: { db }, person, inTurn }: QueryContext) => {
    const only = (state?.toLowerCase() ?? null) as WorkspaceState | null;
    const filter = { state: only, ...pageOf(page) };
    // A client that asks only for the number gets it without the list.
    const read = once(() => inTurn(() => listWorkspaces(db, person, id, filter)));
    return {
      totalCount: Object.entries(workspaces)
        .filter(([one]) => only === null || one === only)
        .reduce((sum, [, count]) => sum + count, 0),
      nodes: async () => workspaceNodes(spec, specNode, (await read()).workspaces),
      pageInfo: async () => pageInfo((await read()).next),
    };
  };
}

/** Makes the nodes of workspaces of a batch spec. What they do not have in their records is read once for all of them. */
export function workspaceNodes(
  spec: BatchSpecRecord,
  specNode: () => unknown,
  workspaces: readonly WorkspaceRecord[],
) {
  const ids = workspaces.map(({ id }) => id);
  const ties = once(({ deps: { db }, inTurn }: QueryContext) => inTurn(() => readTies(db, ids)));
  const definitions = once(() => parseBatchSpec(spec.text).steps ?? []);
  return workspaces.map((workspace) => {
    const { id, repository, branch, commit, reason, steps, jobId, stepCount, ...record } = workspace;
    const tiesOf = async (context: QueryContext) => (await ties(context)).get(id);
    const cached = steps.filter((step) => step.state === 'cached').length;
    return {
      __typename: 'VisibleBatchSpecWorkspace',
      ...{ ...record, id: idOf('VisibleBatchSpecWorkspace', id), failureMessage: reason },
      state: record.state.toUpperCase(),
      batchSpec: specNode,
      repository: repositoryNode(repository),
      branch: { name: branch, target: { oid: commit } },
      cachedResultFound: cached > 0 && cached === stepCount,
      stepCacheResultCount: cached,
      ...placesOf(jobId),
      ...workOf(workspace, definitions),
      async searchResultPaths(_: unknown, context: QueryContext) {
        return (await tiesOf(context))?.fileMatches ?? [];
      },
      async changesetSpecs(_: unknown, context: QueryContext) {
        return ((await tiesOf(context))?.changesetSpecs ?? []).map(changesetSpecNode);
      },
      async executor(_: unknown, context: QueryContext) {
        const hostname = (await tiesOf(context))?.executor ?? null;
        return hostname === null ? null : { id: idOf('Executor', hostname), hostname };
      },
      diffStat: diffStatOf(steps.at(-1)?.stat ?? null),
    };
  });
}

/** Makes the fields with the place of a waiting job. */
function placesOf(jobId: number | null) {
  const read = once(async ({ deps: { db }, inTurn }: QueryContext) =>
    jobId === null ? undefined : await inTurn(() => readQueuePosition(db, jobId)),
  );
  const place =
    (placeIn: (position: QueuePosition) => number) => async (_: unknown, context: QueryContext) => {
      const position = await read(context);
      return position ? placeIn(position) + 1 : null;
    };
  return {
    placeInQueue: place(({ own }) => own),
    placeInGlobalQueue: place(({ own, others }) => own + others),
  };
}

/** Makes the node of a changeset spec. */
export const changesetSpecNode = (key: string) => ({
  __typename: 'VisibleChangesetSpec',
  id: idOf('ChangesetSpec', key),
});
