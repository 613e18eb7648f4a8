import { batchChangeOf } from './batch-changes.ts';
import { batchSpecOf, workspaceOf } from './batch-specs.ts';
import { bulkOperationOf } from './bulk.ts';
import { keyIn } from './ids.ts';
import { orNull } from './or-null.ts';
import type { Field, SchemaPart } from './part.ts';

/** How the node of each type is read by what its id names, and the error if there is none. */
const readers: Readonly<Record<string, { readonly read: Field<string>; readonly missing: string }>> = {
  BatchChange: { read: batchChangeOf, missing: 'batch_change_not_found' },
  VisibleBatchSpecWorkspace: { read: workspaceOf, missing: 'batch_workspace_not_found' },
  BulkOperation: { read: bulkOperationOf, missing: 'bulk_operation_not_found' },
  BatchSpec: { read: batchSpecOf, missing: 'batch_spec_not_found' },
};

/** Anything by its id. */
export const nodePart: SchemaPart = {
  types: `
    interface Node { id: ID! }
    extend type Query {
      "Null: there is none with this id that you may see."
      node(id: ID!): Node
    }
  `,
  root: {
    async node({ id }: { readonly id: string }, context) {
      for (const [type, { read, missing }] of Object.entries(readers)) {
        const key = keyIn(type, id);
        if (key !== null) return await orNull(Promise.resolve(read(key, context)), missing);
      }
      return null;
    },
  },
};
