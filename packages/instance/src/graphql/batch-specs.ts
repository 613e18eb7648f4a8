import { parseBatchSpec } from '@fumehood/batch-spec';
import type { BatchSpecRecord } from '@fumehood/protocol';
import { executeBatchSpec } from '../batches/execution/control.ts';
import { deleteBatchSpec, replaceBatchSpec, upsertBatchSpec } from '../batches/replace.ts';
import { mirrorCatalog } from '../batches/resolve/catalog.ts';
import { resolveWorkspaces } from '../batches/resolve/workspaces.ts';
import { type BatchSpecId, createBatchSpec, type NewBatchSpec, readBatchSpec } from '../batches/specs.ts';
import { findWorkspace } from '../batches/workspaces.ts';
import { requireBatchChange } from '../changesets/batch-changes.ts';
import { repositoryNode } from './code.ts';
import { idOf, keyOf } from './ids.ts';
import { namespaceIn, namespaceNode } from './namespaces.ts';
import { emptyResponse, type Field, type QueryContext, type SchemaPart } from './part.ts';
import { workspaceNodes, workspacesOf } from './workspaces.ts';

interface Input {
  readonly batchSpec: string;
  readonly allowIgnored: boolean;
  readonly allowUnsupported: boolean;
  readonly noCache: boolean;
  readonly execute: boolean;
}
interface RawSpec extends Input {
  readonly namespace: string;
  readonly batchChange?: string | null;
}

/** Whoever asks is waited for: their turn comes in time, or not at all. */
const stays = new AbortController().signal;

/** Batch specs that the instance runs, by the fields of upstream. */
export const batchSpecsPart: SchemaPart = {
  types: `
    extend type Query {
      "Where the steps of a batch spec, YAML or JSON, would run now. Nothing is stored."
      resolveWorkspacesForBatchSpec(batchSpec: String!): [ResolvedBatchSpecWorkspace!]!
    }
    extend type Mutation {
      "Stores a batch spec, whose workspaces are then found."
      createBatchSpecFromRaw(
        batchSpec: String!
        namespace: ID!
        allowIgnored: Boolean! = false
        allowUnsupported: Boolean! = false
        noCache: Boolean! = false
        "Runs it when its workspaces are known. Files that its steps mount have to be sent before."
        execute: Boolean! = false
        "The one that it has to be for."
        batchChange: ID
      ): BatchSpec!
      "Replaces your newest one of this name that neither runs nor was applied, or stores it as a new one."
      upsertBatchSpecInput(
        batchSpec: String!
        namespace: ID!
        allowIgnored: Boolean! = false
        allowUnsupported: Boolean! = false
        noCache: Boolean! = false
        execute: Boolean! = false
        batchChange: ID
      ): BatchSpec!
      "Gives one that neither runs nor was applied another text. It keeps its id and the files that its steps mount."
      replaceBatchSpecInput(
        previousSpec: ID!
        batchSpec: String!
        allowIgnored: Boolean! = false
        allowUnsupported: Boolean! = false
        noCache: Boolean! = false
        execute: Boolean! = false
      ): BatchSpec!
      deleteBatchSpec(batchSpec: ID!): EmptyResponse!
    }
    type ResolvedBatchSpecWorkspace {
      onlyFetchWorkspace: Boolean!
      ignored: Boolean!
      unsupported: Boolean!
      repository: Repository!
      branch: GitRef!
      path: String!
      searchResultPaths: [String!]!
    }
    enum BatchSpecState { PENDING, QUEUED, PROCESSING, COMPLETED, FAILED, CANCELING, CANCELED }
    type BatchSpec implements Node {
      id: ID!
      state: BatchSpecState!
      "As it was sent."
      originalInput: String!
      namespace: Namespace!
      "Of a page on which it would be applied."
      applyURL: String!
      allowIgnored: Boolean!
      allowUnsupported: Boolean!
      noCache: Boolean!
      createdAt: String!
      "Null: a client has run it."
      workspaceResolution: BatchSpecWorkspaceResolution
      failureMessage: String
    }
    enum BatchSpecWorkspaceResolutionState { QUEUED, PROCESSING, FAILED, COMPLETED }
    type BatchSpecWorkspaceResolution {
      state: BatchSpecWorkspaceResolutionState!
      failureMessage: String
      workspaces(first: Int = 50, after: String, state: BatchSpecWorkspaceState): BatchSpecWorkspaceConnection!
    }
  `,
  root: {
    async resolveWorkspacesForBatchSpec({ batchSpec }: { readonly batchSpec: string }, context) {
      const { person, deps, inTurn } = context;
      const { db, mirrors, turns } = deps;
      const spec = parseBatchSpec(batchSpec);
      const found = await inTurn(async () => {
        // It searches mirrors with git, as clones do, and shares their turns.
        using _turn = await turns.clone.take(`person ${person.userId} ${person.token.name}`, stays);
        return await resolveWorkspaces(spec, mirrorCatalog(db, mirrors));
      });
      return found.map(({ repository, branch, commit, fileMatches, ...workspace }) => ({
        ...workspace,
        repository: repositoryNode(repository),
        branch: { name: branch, target: { oid: commit } },
        searchResultPaths: fileMatches,
      }));
    },
    createBatchSpecFromRaw: (asked: RawSpec, context) =>
      stored(asked, context, async ({ deps, person }) =>
        createBatchSpec(deps, person, await newSpecOf(asked, context)),
      ),
    upsertBatchSpecInput: (asked: RawSpec, context) =>
      stored(asked, context, async ({ deps: { db }, person }) =>
        upsertBatchSpec(db, person, await newSpecOf(asked, context)),
      ),
    replaceBatchSpecInput: ({ previousSpec, ...asked }: Input & { readonly previousSpec: string }, context) =>
      stored(asked, context, ({ deps: { db }, person }) =>
        replaceBatchSpec(db, person, keyOf('BatchSpec', previousSpec), { ...asked, text: asked.batchSpec }),
      ),
    async deleteBatchSpec({ batchSpec }: { readonly batchSpec: string }, { deps: { db }, person, inTurn }) {
      await inTurn(() => deleteBatchSpec(db, person, keyOf('BatchSpec', batchSpec)));
      return emptyResponse;
    },
  },
};

/** Returns what a new batch spec has. Errors: `namespace_not_found`, `batch_change_not_found`. */
async function newSpecOf(
  { batchSpec: text, namespace, batchChange, allowIgnored, allowUnsupported, noCache }: RawSpec,
  { deps: { db }, person }: QueryContext,
): Promise<NewBatchSpec> {
  const owner =
    batchChange == null ? null : await requireBatchChange(db, person, keyOf('BatchChange', batchChange));
  return {
    ...{ text, namespace: namespaceIn(namespace), allowIgnored, allowUnsupported, noCache, options: {} },
    ...{ batchChangeId: owner?.id ?? null, origin: 'server' },
  };
}

/** Stores a batch spec, runs it if that is asked for, and reads it then. */
async function stored(
  { execute }: Pick<Input, 'execute'>,
  context: QueryContext,
  store: (context: QueryContext) => Promise<BatchSpecId>,
) {
  const { deps, person, inTurn } = context;
  const { publicId } = await inTurn(async () => {
    const spec = await store(context);
    if (execute) await executeBatchSpec(deps, person, spec.publicId, {});
    return spec;
  });
  return await batchSpecOf(publicId, context);
}

/** Reads the node of a batch spec. Errors: `batch_spec_not_found`. */
export const batchSpecOf: Field<string> = async (key, { deps: { db }, person, inTurn }) =>
  batchSpecNode(await inTurn(() => readBatchSpec(db, person, key)));

/** Reads the node of a workspace. Errors: `batch_workspace_not_found`. */
export const workspaceOf: Field<string> = async (key, { deps: { db }, person, inTurn }) =>
  await inTurn(async () => {
    const { spec: id, workspace } = await findWorkspace(db, person, key);
    const spec = await readBatchSpec(db, person, id);
    return workspaceNodes(spec, () => batchSpecNode(spec), [workspace])[0];
  });

function batchSpecNode(record: BatchSpecRecord): object {
  const id = idOf('BatchSpec', record.id);
  const namespace = namespaceNode(record.namespace);
  const { allowIgnored, allowUnsupported, noCache, createdAt, resolutionFailure, buildFailure } = record;
  return {
    __typename: 'BatchSpec',
    ...{ id, namespace, allowIgnored, allowUnsupported, noCache, createdAt },
    state: record.state.toUpperCase(),
    originalInput: record.text,
    applyURL: `${namespace.url}/batch-changes/apply/${id}`,
    failureMessage: resolutionFailure ?? buildFailure,
    workspaceResolution:
      record.origin === 'client'
        ? null
        : {
            state: record.resolution.toUpperCase(),
            failureMessage: resolutionFailure,
            workspaces: workspacesOf(record, () => batchSpecNode(record)),
          },
  };
}
