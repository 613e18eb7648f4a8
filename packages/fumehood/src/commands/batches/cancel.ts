import type { Command } from 'commander';
import { batchId, workspaceOption } from '../../cli/batch-options.ts';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { printDone } from '../../cli/print.ts';

/** Adds `fumehood batches cancel`. */
export function addBatchesCancel(batches: Command): void {
  batches
    .command('cancel')
    .description('cancel the execution of a batch spec; what has ended stays')
    .argument('<spec>', 'id of the batch spec', batchId)
    .addOption(workspaceOption())
    .addOption(jsonOption())
    .action(async (id: string, options: ClientOptions & { workspace?: string[] }) => {
      const { workspace: workspaces, ...rest } = options;
      const client = await connect(rest);
      const now = await client.batches.cancel(id, { ...(workspaces !== undefined && { workspaces }) });
      printDone(rest, now, `the execution is ${now.state}`);
    });
}
