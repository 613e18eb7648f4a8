import { commentChangesetsSchema } from '@fumehood/protocol';
import {
  closeChangesets,
  commentChangesets,
  detachChangesets,
  mergeChangesets,
  publishChangesets,
  reenqueueChangesets,
} from '../changesets/actions.ts';
import { listChangesets } from '../changesets/batch-changes.ts';
import { type BulkOperation, listBulkOperations, readBulkOperation } from '../changesets/bulk.ts';
import { badRequest } from '../errors.ts';
import { changesetNode } from './changesets.ts';
import { idOf, keyOf, keysOf } from './ids.ts';
import { namespaceNode } from './namespaces.ts';
import { once } from './once.ts';
import { type Page, pageInfo, pageOf } from './pages.ts';
import type { Field, QueryContext, SchemaPart } from './part.ts';

interface SomeChangesets {
  readonly batchChange: string;
  readonly changesets: readonly string[];
}

/** What is asked for with several changesets of a batch change at once, by the fields of upstream. The reconciler does it. */
export const bulkPart: SchemaPart = {
  types: `
    extend type Mutation {
      publishChangesets(batchChange: ID!, changesets: [ID!]!, draft: Boolean! = false): BulkOperation!
      detachChangesets(batchChange: ID!, changesets: [ID!]!): BulkOperation!
      reenqueueChangesets(batchChange: ID!, changesets: [ID!]!): BulkOperation!
      "On their code hosts, as one commit each with \`squash\`."
      mergeChangesets(batchChange: ID!, changesets: [ID!]!, squash: Boolean! = false): BulkOperation!
      "On their code hosts. The next batch spec that has them opens them again."
      closeChangesets(batchChange: ID!, changesets: [ID!]!): BulkOperation!
      "Adds a comment, Markdown, to each on its code host."
      createChangesetComments(batchChange: ID!, changesets: [ID!]!, body: String!): BulkOperation!
    }
    enum BulkOperationType { PUBLISH, DETACH, REENQUEUE, MERGE, CLOSE, COMMENT, ARCHIVE }
    enum BulkOperationState { PROCESSING, FAILED, COMPLETED }
    type BulkOperationConnection {
      "Of all pages."
      totalCount: Int!
      nodes: [BulkOperation!]!
      pageInfo: PageInfo!
    }
    type BulkOperation implements Node {
      id: ID!
      type: BulkOperationType!
      "FAILED: all are done, and some have failed."
      state: BulkOperationState!
      "The share of its changesets of which the reconciler has come to an end, from 0 to 1."
      progress: Float!
      errors: [ChangesetJobError!]!
      initiator: User!
      changesetCount: Int!
      createdAt: String!
      "When it was found that all are done."
      finishedAt: String
    }
    "Changeset is null: it is none of the batch change any more."
    type ChangesetJobError { changeset: Changeset, error: String }
  `,
  root: {
    publishChangesets: ({ draft, ...asked }: SomeChangesets & { readonly draft: boolean }, context) =>
      started(asked, context, ({ deps: { db }, person }, batchChange, changesets) =>
        publishChangesets(db, person, batchChange, { changesets, publication: draft ? 'draft' : true }),
      ),
    detachChangesets: (asked: SomeChangesets, context) =>
      started(asked, context, ({ deps: { db }, person }, batchChange, changesets) =>
        detachChangesets(db, person, batchChange, changesets),
      ),
    reenqueueChangesets: (asked: SomeChangesets, context) =>
      started(asked, context, ({ deps: { db }, person }, batchChange, changesets) =>
        reenqueueChangesets(db, person, batchChange, changesets),
      ),
    mergeChangesets: ({ squash, ...asked }: SomeChangesets & { readonly squash: boolean }, context) =>
      started(asked, context, ({ deps: { db }, person }, batchChange, changesets) =>
        mergeChangesets(db, person, batchChange, changesets, { squash }),
      ),
    closeChangesets: (asked: SomeChangesets, context) =>
      started(asked, context, ({ deps: { db }, person }, batchChange, changesets) =>
        closeChangesets(db, person, batchChange, changesets),
      ),
    createChangesetComments({ body: text, ...asked }: SomeChangesets & { readonly body: string }, context) {
      const { data: body, error } = commentChangesetsSchema.shape.body.safeParse(text);
      if (error) throw badRequest(`\`body\`: ${error.issues[0]?.message}`);
      return started(asked, context, ({ deps: { db }, person }, batchChange, changesets) =>
        commentChangesets(db, person, batchChange, changesets, { body }),
      );
    },
  },
};

/** Asks for something with changesets, and reads the operation then. */
async function started(
  { batchChange, changesets }: SomeChangesets,
  context: QueryContext,
  run: (context: QueryContext, batchChange: string, changesets: string[]) => Promise<string>,
) {
  const keys = keysOf('Changeset', changesets);
  const id = await context.inTurn(() => run(context, keyOf('BatchChange', batchChange), keys));
  return await bulkOperationOf(id, context);
}

/** Reads the node of an operation. Errors: `bulk_operation_not_found`. */
export const bulkOperationOf: Field<string> = async (key, { deps: { db }, person, inTurn }) =>
  nodesOf([await inTurn(() => readBulkOperation(db, person, key))])[0];

/** Returns the field with the operations of a batch change. */
export const bulkOperationsOf =
  (key: string) =>
  async (page: Page, { deps: { db }, person, inTurn }: QueryContext) => {
    const { limit, after } = pageOf(page);
    const found = await inTurn(() => listBulkOperations(db, person, key, { limit, after }));
    const next = after + limit < found.total ? after + limit : null;
    return { totalCount: found.total, nodes: nodesOf(found.operations), pageInfo: pageInfo(next) };
  };

/** Makes the nodes of operations of one batch change, whose changesets are read once for all of them. */
function nodesOf(operations: readonly BulkOperation[]) {
  const changesets = once(async ({ deps: { db }, person, inTurn }: QueryContext, batchChange: string) => {
    const all = await inTurn(() => listChangesets(db, person, batchChange));
    return new Map(all.map((one) => [one.id, one]));
  });
  return operations.map((operation) => {
    const { id, type, creator, batchChange, done, failures, ...record } = operation;
    const { finishedAt, changesetCount } = record;
    const ended = failures.length > 0 ? 'FAILED' : 'COMPLETED';
    return {
      __typename: 'BulkOperation',
      ...{ ...record, id: idOf('BulkOperation', id), type: type.toUpperCase() },
      state: finishedAt === null ? 'PROCESSING' : ended,
      progress: changesetCount === 0 ? 1 : done / changesetCount,
      initiator: namespaceNode(creator),
      errors: failures.map(({ changeset, error }) => ({
        error,
        async changeset(_: unknown, context: QueryContext) {
          const found = (await changesets(context, batchChange)).get(changeset);
          return found ? changesetNode(found) : null;
        },
      })),
    };
  });
}
