import type { Command } from 'commander';
import { batchId } from '../../cli/batch-options.ts';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { printDone } from '../../cli/print.ts';

/** Adds `fumehood batches cancel`. */
export function addBatchesCancel(batches: Command): void {
  batches
    .command('cancel')
    .description('cancel the execution of a batch spec; what has ended stays')
    .argument('<spec>', 'id of the batch spec', batchId)
    .addOption(jsonOption())
    .action(async (id: string, options: ClientOptions) => {
      const now = await (await connect(options)).batches.cancel(id);
      printDone(options, now, `the execution is ${now.state}`);
    });
}
