import type { Command } from 'commander';
import { batchId, workspaceOption } from '../../cli/batch-options.ts';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { printDone } from '../../cli/print.ts';

interface RetryOptions extends ClientOptions {
  readonly includeCompleted?: boolean;
  readonly workspace?: string[];
}

/** Adds `fumehood batches retry`. */
export function addBatchesRetry(batches: Command): void {
  batches
    .command('retry')
    .description('run again what has failed or was canceled; steps with a result are not run again')
    .argument('<spec>', 'id of the batch spec', batchId)
    .option('--include-completed', 'also what was completed')
    .addOption(workspaceOption())
    .addOption(jsonOption())
    .action(async (id: string, { includeCompleted, workspace, ...options }: RetryOptions) => {
      const now = await (await connect(options)).batches.retry(id, {
        includeCompleted: includeCompleted ?? false,
        ...(workspace !== undefined && { workspaces: workspace }),
      });
      printDone(options, now, `it runs again: \`fumehood batches status --follow ${id}\` follows it`);
    });
}
