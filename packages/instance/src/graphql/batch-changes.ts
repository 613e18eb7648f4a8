import { type BatchChangeRecord, batchChangeNameSchema, publicationSchema } from '@fumehood/protocol';
import { closeBatchChange } from '../changesets/actions.ts';
import { applyBatchSpec } from '../changesets/apply.ts';
import {
  deleteBatchChange,
  listBatchChanges,
  moveBatchChange,
  readBatchChange,
  upsertBatchChange,
} from '../changesets/batch-changes.ts';
import { badRequest } from '../errors.ts';
import { bulkOperationsOf } from './bulk.ts';
import { changesetsOf } from './changesets.ts';
import { idOf, keyOf } from './ids.ts';
import { namespaceIn, namespaceNode } from './namespaces.ts';
import { pageOf } from './pages.ts';
import { emptyResponse, type Field, type QueryContext, type SchemaPart } from './part.ts';

interface Named {
  readonly namespace: string;
  readonly name: string;
}
interface Apply {
  readonly batchSpec: string;
  readonly ensureBatchChange?: string | null;
  readonly publicationStates: readonly {
    readonly changesetSpec: string;
    readonly publicationState: unknown;
  }[];
}
interface Move {
  readonly batchChange: string;
  readonly newName?: string | null;
  readonly newNamespace?: string | null;
}

/** Batch changes, by the fields of upstream. */
export const batchChangesPart: SchemaPart = {
  types: `
    extend type Query {
      "How many changesets a batch change may have: there are no licenses."
      maxUnlicensedChangesets: Int!
      "The newest ones that you may see."
      batchChanges(first: Int = 50): BatchChangeConnection!
      "Null: there is none that you may see."
      batchChange(namespace: ID!, name: String!): BatchChange
    }
    extend type Mutation {
      "The batch change with this name, which is made if there is none."
      upsertEmptyBatchChange(namespace: ID!, name: String!): BatchChange!
      createEmptyBatchChange(namespace: ID!, name: String!): BatchChange!
      moveBatchChange(batchChange: ID!, newName: String, newNamespace: ID): BatchChange!
      "Its changesets stay on their code hosts as they are."
      deleteBatchChange(batchChange: ID!): EmptyResponse!
      applyBatchChange(
        batchSpec: ID!
        ensureBatchChange: ID
        publicationStates: [ChangesetSpecPublicationStateInput!]! = []
      ): BatchChange!
      closeBatchChange(batchChange: ID!, closeChangesets: Boolean! = false): BatchChange!
    }
    "True, false or the text draft."
    scalar PublishedValue
    input ChangesetSpecPublicationStateInput { changesetSpec: ID!, publicationState: PublishedValue! }
    enum BatchChangeState { DRAFT, OPEN, CLOSED }
    type BatchChangeConnection { nodes: [BatchChange!]! }
    type BatchChange implements Node {
      id: ID!
      namespace: Namespace!
      name: String!
      description: String!
      state: BatchChangeState!
      url: String!
      createdAt: String!
      updatedAt: String!
      closedAt: String
      lastAppliedAt: String
      "In the order of repositories and branches."
      changesets(first: Int = 50, after: String): ChangesetConnection!
      "The newest ones first."
      bulkOperations(first: Int = 50, after: String): BulkOperationConnection!
    }
  `,
  root: {
    maxUnlicensedChangesets: () => 2 ** 31 - 1,
    async batchChanges({ first }: { readonly first: number }, { deps: { db }, person, inTurn }) {
      const { limit } = pageOf({ first });
      const found = await inTurn(() => listBatchChanges(db, person, { limit }));
      return { nodes: found.map(batchChangeNode) };
    },
    async batchChange({ namespace: id, name }: Named, { deps: { db }, person, inTurn }) {
      const namespace = namespaceIn(id);
      const [found] = await inTurn(() => listBatchChanges(db, person, { namespace, name, limit: 1 }));
      return found ? batchChangeNode(found) : null;
    },
    upsertEmptyBatchChange: upsert,
    createEmptyBatchChange: upsert,
    moveBatchChange: ({ batchChange, newName, newNamespace }: Move, context) =>
      changed(batchChange, context, (key, { deps: { db }, person }) =>
        moveBatchChange(db, person, key, {
          ...(newName != null && { name: checkedName(newName) }),
          ...(newNamespace != null && { namespace: namespaceIn(newNamespace) }),
        }),
      ),
    async deleteBatchChange({ batchChange }: { readonly batchChange: string }, context) {
      const { deps, person, inTurn } = context;
      await inTurn(() => deleteBatchChange(deps.db, person, keyOf('BatchChange', batchChange)));
      return emptyResponse;
    },
    async applyBatchChange({ batchSpec, ensureBatchChange: id, publicationStates }: Apply, context) {
      const { deps, person, inTurn } = context;
      const states = publicationStates.map(({ changesetSpec, publicationState }) => {
        const publication = publicationSchema.safeParse(publicationState);
        if (!publication.success) throw badRequest('`publicationState` is true, false or draft');
        return { changesetSpec: keyOf('ChangesetSpec', changesetSpec), publication: publication.data };
      });
      const batchChange = id == null ? null : keyOf('BatchChange', id);
      const applied = await inTurn(() =>
        applyBatchSpec(deps, person, keyOf('BatchSpec', batchSpec), {
          publicationStates: states,
          batchChange,
        }),
      );
      return await batchChangeOf(applied.publicId, context);
    },
    closeBatchChange: (
      { batchChange, closeChangesets }: { readonly batchChange: string; readonly closeChangesets: boolean },
      context,
    ) =>
      changed(batchChange, context, (key, { deps: { db }, person }) =>
        closeBatchChange(db, person, key, { closeChangesets }),
      ),
  },
};

/** Checks the name of a batch change. Errors: `invalid_request`. */
function checkedName(name: string): string {
  const { error } = batchChangeNameSchema.safeParse(name);
  if (error) throw badRequest(`the name of a batch change ${error.issues[0]?.message}`);
  return name;
}

async function upsert({ namespace, name }: Named, context: QueryContext) {
  const { deps, person, inTurn } = context;
  const wanted = { namespace: namespaceIn(namespace), name: checkedName(name) };
  const { publicId } = await inTurn(() => upsertBatchChange(deps.db, person, wanted));
  return await batchChangeOf(publicId, context);
}

/** Changes a batch change, and reads it then. */
async function changed(
  id: string,
  context: QueryContext,
  run: (key: string, context: QueryContext) => Promise<void>,
) {
  const key = keyOf('BatchChange', id);
  await context.inTurn(() => run(key, context));
  return await batchChangeOf(key, context);
}

/** Reads the node of a batch change. Errors: `batch_change_not_found`. */
export const batchChangeOf: Field<string> = async (key, { deps: { db }, person, inTurn }) =>
  batchChangeNode(await inTurn(() => readBatchChange(db, person, key)));

function batchChangeNode(record: BatchChangeRecord) {
  const { id, namespace, name, description, createdAt, updatedAt, closedAt, appliedAt } = record;
  const owner = namespaceNode(namespace);
  return {
    __typename: 'BatchChange',
    ...{ id: idOf('BatchChange', id), namespace: owner, name, description, createdAt, updatedAt, closedAt },
    state: record.state.toUpperCase(),
    url: `${owner.url}/batch-changes/${encodeURIComponent(name)}`,
    lastAppliedAt: appliedAt,
    changesets: changesetsOf(id),
    bulkOperations: bulkOperationsOf(id),
  };
}
