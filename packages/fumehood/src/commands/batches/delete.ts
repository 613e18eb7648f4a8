import type { Command } from 'commander';
import { findBatchChange } from '../../batches/find.ts';
import { addBatchChangeCommand, type BatchChangeOptions } from '../../cli/batch-options.ts';
import { connect } from '../../cli/context.ts';
import { printDone } from '../../cli/print.ts';

/** Adds `fumehood batches delete`. */
export function addBatchesDelete(batches: Command): void {
  addBatchChangeCommand(batches, 'delete')
    .description('delete a batch change; its changesets stay on their code hosts as they are')
    .action(async (named: string, { namespace, ...options }: BatchChangeOptions) => {
      const client = await connect(options);
      const { id, name } = await findBatchChange(client, named, namespace);
      await client.batches.deleteBatchChange(id);
      printDone(options, { deleted: id }, `deleted the batch change ${name}`);
    });
}
