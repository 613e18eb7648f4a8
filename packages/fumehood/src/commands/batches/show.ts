import type { Command } from 'commander';
import { findBatchChange } from '../../batches/find.ts';
import { batchChangeLines } from '../../batches/lines.ts';
import { addBatchChangeCommand, type BatchChangeOptions } from '../../cli/batch-options.ts';
import { connect } from '../../cli/context.ts';
import { printResult } from '../../cli/print.ts';

/** Adds `fumehood batches show`. */
export function addBatchesShow(batches: Command): void {
  addBatchChangeCommand(batches, 'show')
    .description('show a batch change and its changesets')
    .action(async (named: string, { namespace, ...options }: BatchChangeOptions) => {
      const client = await connect(options);
      const found = await findBatchChange(client, named, namespace);
      const changesets = await client.batches.changesets(found.id);
      printResult(options, { ...found, changesetList: changesets }, batchChangeLines(found, changesets));
    });
}
