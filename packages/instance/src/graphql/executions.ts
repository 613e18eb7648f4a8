import {
  cancelBatchSpec,
  cancelWorkspaces,
  executeBatchSpec,
  executeWorkspaces,
  retryBatchSpec,
  retryWorkspaces,
} from '../batches/execution/control.ts';
import { badRequest } from '../errors.ts';
import { batchSpecOf } from './batch-specs.ts';
import { keyOf, keysOf } from './ids.ts';
import { emptyResponse, type Field, type QueryContext, type SchemaPart } from './part.ts';

interface Spec {
  readonly batchSpec: string;
}
interface Execute extends Spec {
  readonly noCache?: boolean | null;
  readonly autoApply?: boolean | null;
}
interface Workspaces {
  readonly batchSpecWorkspaces: readonly string[];
}

/** Has the instance run batch specs, by the mutations of upstream. */
export const executionsPart: SchemaPart = {
  types: `
    extend type Mutation {
      "Runs a batch spec, at once or when its workspaces are known. Without \`noCache\` as the batch spec says."
      executeBatchSpec(batchSpec: ID!, noCache: Boolean, "True is refused: nobody applies it." autoApply: Boolean): BatchSpec!
      cancelBatchSpecExecution(batchSpec: ID!): BatchSpec!
      "Runs again what has failed or was canceled."
      retryBatchSpecExecution(batchSpec: ID!, includeCompleted: Boolean! = false): BatchSpec!
      "Runs some workspaces before the others, which wait for \`executeBatchSpec\`."
      enqueueBatchSpecWorkspaceExecution(batchSpecWorkspaces: [ID!]!): EmptyResponse!
      cancelBatchSpecWorkspaceExecution(batchSpecWorkspaces: [ID!]!): EmptyResponse!
      retryBatchSpecWorkspaceExecution(batchSpecWorkspaces: [ID!]!): EmptyResponse!
    }
    type EmptyResponse { alwaysNil: String }
  `,
  root: {
    executeBatchSpec({ batchSpec, noCache, autoApply }: Execute, context) {
      if (autoApply) throw badRequest('`autoApply` is not there: apply the batch spec when it is complete');
      return changed(batchSpec, context, (key, { deps, person }) =>
        executeBatchSpec(deps, person, key, { noCache: noCache ?? undefined }),
      );
    },
    cancelBatchSpecExecution: ({ batchSpec }: Spec, context) =>
      changed(batchSpec, context, (key, { deps, person }) => cancelBatchSpec(deps, person, key)),
    retryBatchSpecExecution: (
      { batchSpec, includeCompleted }: Spec & { readonly includeCompleted: boolean },
      context,
    ) =>
      changed(batchSpec, context, (key, { deps, person }) =>
        retryBatchSpec(deps, person, key, { includeCompleted }),
      ),
    enqueueBatchSpecWorkspaceExecution: forWorkspaces(executeWorkspaces),
    cancelBatchSpecWorkspaceExecution: forWorkspaces(cancelWorkspaces),
    retryBatchSpecWorkspaceExecution: forWorkspaces(retryWorkspaces),
  },
};

/** Makes a field that does something with workspaces. */
function forWorkspaces(act: typeof cancelWorkspaces): Field<Workspaces> {
  return async ({ batchSpecWorkspaces }, { deps, person, inTurn }) => {
    const keys = keysOf('VisibleBatchSpecWorkspace', batchSpecWorkspaces);
    await inTurn(() => act(deps, person, keys));
    return emptyResponse;
  };
}

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
