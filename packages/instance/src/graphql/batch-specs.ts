import { parseBatchSpec } from '@fumehood/batch-spec';
import type { BatchSpecRecord } from '@fumehood/protocol';
import { mirrorCatalog } from '../batches/resolve/catalog.ts';
import { resolveWorkspaces } from '../batches/resolve/workspaces.ts';
import { createBatchSpec, readBatchSpec } from '../batches/specs.ts';
import { requireBatchChange } from '../changesets/batch-changes.ts';
import { repositoryNode } from './code.ts';
import { idOf, keyOf } from './ids.ts';
import { namespaceIn, namespaceNode } from './namespaces.ts';
import type { Field, SchemaPart } from './part.ts';
import { workspacesOf } from './workspaces.ts';

interface RawSpec {
  readonly batchSpec: string;
  readonly namespace: string;
  readonly allowIgnored: boolean;
  readonly allowUnsupported: boolean;
  readonly noCache: boolean;
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
        "The one that it has to be for."
        batchChange: ID
      ): BatchSpec!
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
    async createBatchSpecFromRaw({ batchSpec, namespace, batchChange, ...options }: RawSpec, context) {
      const { deps, person, inTurn } = context;
      const spec = { ...options, text: batchSpec, namespace: namespaceIn(namespace) };
      const { publicId } = await inTurn(async () => {
        const batchChangeId =
          batchChange == null
            ? null
            : (await requireBatchChange(deps.db, person, keyOf('BatchChange', batchChange))).id;
        return await createBatchSpec(deps, person, { ...spec, options: {}, batchChangeId, origin: 'server' });
      });
      return await batchSpecOf(publicId, context);
    },
  },
};

/** Reads the node of a batch spec. Errors: `batch_spec_not_found`. */
export const batchSpecOf: Field<string> = async (key, { deps: { db }, person, inTurn }) =>
  batchSpecNode(await inTurn(() => readBatchSpec(db, person, key)));

function batchSpecNode(record: BatchSpecRecord) {
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
            workspaces: workspacesOf(record),
          },
  };
}
