import type { ChangesetRecord } from '@fumehood/protocol';
import { createBatchSpec } from '../batches/specs.ts';
import { listChangesets } from '../changesets/batch-changes.ts';
import { addChangesetSpecs, createChangesetSpecs } from '../changesets/client-specs.ts';
import { transaction } from '../db/transaction.ts';
import { batchSpecOf } from './batch-specs.ts';
import { repositoryNode } from './code.ts';
import { diffStatOf } from './diff-stat.ts';
import { idOf, keyOf } from './ids.ts';
import { namespaceIn } from './namespaces.ts';
import { type Page, pageInfo, pageOf } from './pages.ts';
import type { QueryContext, SchemaPart } from './part.ts';
import { changesetSpecNode } from './workspaces.ts';

interface ClientSpec {
  readonly namespace: string;
  readonly batchSpec: string;
  readonly changesetSpecs: readonly string[];
}

/** Changesets, and the changeset specs of clients that have run a batch spec themselves, by the fields of upstream. */
export const changesetsPart: SchemaPart = {
  types: `
    extend type Mutation {
      "Stores a changeset spec, JSON, which no batch spec has yet."
      createChangesetSpec(changesetSpec: String!): ChangesetSpec!
      createChangesetSpecs(changesetSpecs: [String!]!): [ChangesetSpec!]!
      "Stores a batch spec that you have run, with its changeset specs."
      createBatchSpec(namespace: ID!, batchSpec: String!, changesetSpecs: [ID!]!): BatchSpec!
    }
    interface ChangesetSpec { id: ID! }
    type VisibleChangesetSpec implements ChangesetSpec { id: ID! }
    "Of a repository that you may not see: there is none."
    type HiddenChangesetSpec implements ChangesetSpec { id: ID! }
    enum ChangesetState { UNPUBLISHED, SCHEDULED, PROCESSING, RETRYING, FAILED, PUSHED, DRAFT, OPEN, MERGED, CLOSED, DELETED }
    enum ChangesetReviewState { APPROVED, CHANGES_REQUESTED, PENDING }
    enum ChangesetCheckState { PASSED, FAILED, PENDING }
    type ChangesetConnection {
      "Of all pages."
      totalCount: Int!
      nodes: [Changeset!]!
      pageInfo: PageInfo!
    }
    interface Changeset { id: ID!, state: ChangesetState! }
    type ExternalChangeset implements Changeset {
      id: ID!
      state: ChangesetState!
      repository: Repository!
      title: String
      "The number on its code host; null: it has none."
      externalID: String
      externalURL: ExternalLink
      reviewState: ChangesetReviewState
      checkState: ChangesetCheckState
      "Why it failed, or is tried again."
      error: String
      diffStat: DiffStat
    }
    type ExternalLink { url: String! }
  `,
  root: {
    async createChangesetSpec({ changesetSpec }: { readonly changesetSpec: string }, context) {
      return (await stored([changesetSpec], context))[0];
    },
    createChangesetSpecs: ({ changesetSpecs }: { readonly changesetSpecs: readonly string[] }, context) =>
      stored(changesetSpecs, context),
    async createBatchSpec({ namespace, batchSpec: text, changesetSpecs }: ClientSpec, context) {
      const { deps, person, inTurn } = context;
      const keys = changesetSpecs.map((id) => keyOf('ChangesetSpec', id));
      const { publicId } = await inTurn(() =>
        transaction(deps.db, async (tx) => {
          const spec = await createBatchSpec({ db: tx }, person, {
            ...{
              text,
              namespace: namespaceIn(namespace),
              origin: 'client',
              options: {},
              batchChangeId: null,
            },
            ...{ allowIgnored: false, allowUnsupported: false, noCache: false },
          });
          await addChangesetSpecs(tx, person, spec.id, keys);
          return spec;
        }),
      );
      return await batchSpecOf(publicId, context);
    },
  },
};

/** Stores changeset specs, all or none, and makes their nodes. */
async function stored(texts: readonly string[], { deps, person, inTurn }: QueryContext) {
  const repositoryOf = (id: string) => keyOf('Repository', id);
  const keys = await inTurn(() => createChangesetSpecs({ ...deps, repositoryOf }, person, texts));
  return keys.map(changesetSpecNode);
}

/** Returns the field with the changesets of a batch change. */
export const changesetsOf =
  (key: string) =>
  async (page: Page, { deps: { db }, person, inTurn }: QueryContext) => {
    const { limit, after } = pageOf(page);
    const all = await inTurn(() => listChangesets(db, person, key));
    const nodes = all.slice(after, after + limit);
    const next = after + limit < all.length ? after + limit : null;
    return { totalCount: all.length, nodes: nodes.map(changesetNode), pageInfo: pageInfo(next) };
  };

/** Makes the node of a changeset. */
export function changesetNode(record: ChangesetRecord) {
  const { id, state, repository, title, externalId, externalUrl, review, checks, failure, stat } = record;
  return {
    __typename: 'ExternalChangeset',
    ...{
      id: idOf('Changeset', id),
      title,
      externalID: externalId,
      error: failure,
      diffStat: diffStatOf(stat),
    },
    state: state.toUpperCase(),
    repository: repositoryNode(repository),
    externalURL: externalUrl && { url: externalUrl },
    reviewState: review?.toUpperCase() ?? null,
    checkState: checks?.toUpperCase() ?? null,
  };
}
