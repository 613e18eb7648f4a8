import {
  cancelBatchSpec,
  cancelWorkspaces,
  executeBatchSpec,
  retryBatchSpec,
  retryWorkspaces,
} from '../batches/execution/control.ts';
import { batchSpecOf } from './batch-specs.ts';
import { keyOf } from './ids.ts';
import type { QueryContext, SchemaPart } from './part.ts';

interface Spec {
  readonly batchSpec: string;
}
interface Workspaces {
  readonly batchSpecWorkspaces: readonly string[];
}

/** Has the instance run batch specs, by the mutations of upstream. */
export const executionsPart: SchemaPart = {
  types: `
    extend type Mutation {
      "Runs a batch spec, at once or when its workspaces are known. Without \`noCache\` as the batch spec says."
      executeBatchSpec(batchSpec: ID!, noCache: Boolean): BatchSpec!
      cancelBatchSpecExecution(batchSpec: ID!): BatchSpec!
      "Runs again what has failed or was canceled."
      retryBatchSpecExecution(batchSpec: ID!, includeCompleted: Boolean! = false): BatchSpec!
      cancelBatchSpecWorkspaceExecution(batchSpecWorkspaces: [ID!]!): EmptyResponse!
      retryBatchSpecWorkspaceExecution(batchSpecWorkspaces: [ID!]!): EmptyResponse!
    }
    type EmptyResponse { alwaysNil: String }
  `,
  root: {
    executeBatchSpec: ({ batchSpec, noCache }: Spec & { readonly noCache?: boolean | null }, context) =>
      changed(batchSpec, context, (key, { deps, person }) =>
        executeBatchSpec(deps, person, key, { noCache: noCache ?? undefined }),
      ),
    cancelBatchSpecExecution: ({ batchSpec }: Spec, context) =>
      changed(batchSpec, context, (key, { deps, person }) => cancelBatchSpec(deps, person, key)),
    retryBatchSpecExecution: (
      { batchSpec, includeCompleted }: Spec & { readonly includeCompleted: boolean },
      context,
    ) =>
      changed(batchSpec, context, (key, { deps, person }) =>
        retryBatchSpec(deps, person, key, { includeCompleted }),
      ),
    async cancelBatchSpecWorkspaceExecution(asked: Workspaces, { deps, person, inTurn }) {
      await inTurn(() => cancelWorkspaces(deps, person, keysOf(asked)));
      return { alwaysNil: null };
    },
    async retryBatchSpecWorkspaceExecution(asked: Workspaces, { deps, person, inTurn }) {
      await inTurn(() => retryWorkspaces(deps, person, keysOf(asked)));
      return { alwaysNil: null };
    },
  },
};

const keysOf = ({ batchSpecWorkspaces }: Workspaces) =>
  batchSpecWorkspaces.map((id) => keyOf('VisibleBatchSpecWorkspace', id));

/** Changes a batch spec, and reads it then. */
async function changed(
  id: string,
  context: QueryContext,
  run: (key: string, context: QueryContext) => Promise<void>,
) {
  const key = keyOf('BatchSpec', id);
  await context.inTurn(() => run(key, context));
  return await batchSpecOf(key, context);
}
