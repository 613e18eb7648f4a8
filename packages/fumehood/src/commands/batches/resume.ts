import type { Command } from 'commander';
import { findBatchChange } from '../../batches/find.ts';
import { namespaceOption } from '../../cli/batch-options.ts';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { printDone } from '../../cli/print.ts';

/** Adds `fumehood batches resume`. */
export function addBatchesResume(batches: Command): void {
  batches
    .command('resume')
    .description('let the waves go on that too many failed checks have stopped')
    .argument('<batch-change>', 'its name, or its id')
    .addOption(namespaceOption('the user or org/NAME whose it is'))
    .addOption(jsonOption())
    .action(async (named: string, { namespace, ...options }: ClientOptions & { namespace?: string }) => {
      const client = await connect(options);
      const { id } = await findBatchChange(client, named, namespace);
      const now = await client.batches.resume(id);
      printDone(options, now, `the next wave of ${now.name} begins`);
    });
}
