import type { Command } from 'commander';
import { findBatchChange } from '../../batches/find.ts';
import { batchChangeLines } from '../../batches/lines.ts';
import { namespaceOption } from '../../cli/batch-options.ts';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { printResult } from '../../cli/print.ts';

/** Adds `fumehood batches show`. */
export function addBatchesShow(batches: Command): void {
  batches
    .command('show')
    .description('show a batch change and its changesets')
    .argument('<batch-change>', 'its name, or its id')
    .addOption(namespaceOption('the user or org/NAME whose it is; default: any that you may see'))
    .addOption(jsonOption())
    .action(async (named: string, { namespace, ...options }: ClientOptions & { namespace?: string }) => {
      const client = await connect(options);
      const found = await findBatchChange(client, named, namespace);
      const changesets = await client.batches.changesets(found.id);
      printResult(options, { ...found, changesetList: changesets }, batchChangeLines(found, changesets));
    });
}
