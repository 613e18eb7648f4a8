import type { Command } from 'commander';
import { findBatchChange } from '../../batches/find.ts';
import { namespaceOption } from '../../cli/batch-options.ts';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { printDone } from '../../cli/print.ts';

interface CloseOptions extends ClientOptions {
  readonly namespace?: string;
  readonly closeChangesets?: boolean;
}

/** Adds `fumehood batches close`. */
export function addBatchesClose(batches: Command): void {
  batches
    .command('close')
    .description('close a batch change; its open changesets stay open')
    .argument('<batch-change>', 'its name, or its id')
    .addOption(namespaceOption('the user or org/NAME whose it is'))
    .option('--close-changesets', 'also close its open changesets on their code hosts')
    .addOption(jsonOption())
    .action(async (named: string, { namespace, closeChangesets = false, ...options }: CloseOptions) => {
      const client = await connect(options);
      const { id } = await findBatchChange(client, named, namespace);
      const closed = await client.batches.close(id, { closeChangesets });
      printDone(options, closed, `closed the batch change ${closed.name}`);
    });
}
