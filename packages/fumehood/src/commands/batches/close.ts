import type { Command } from 'commander';
import { findBatchChange } from '../../batches/find.ts';
import { addBatchChangeCommand, type BatchChangeOptions } from '../../cli/batch-options.ts';
import { connect } from '../../cli/context.ts';
import { printDone } from '../../cli/print.ts';

/** Adds `fumehood batches close`. */
export function addBatchesClose(batches: Command): void {
  addBatchChangeCommand(batches, 'close')
    .description('close a batch change; its open changesets stay open')
    .option('--close-changesets', 'also close its open changesets on their code hosts')
    .action(async (named: string, options: BatchChangeOptions & { closeChangesets?: boolean }) => {
      const { namespace, closeChangesets = false, ...rest } = options;
      const client = await connect(rest);
      const { id } = await findBatchChange(client, named, namespace);
      const closed = await client.batches.close(id, { closeChangesets });
      printDone(rest, closed, `closed the batch change ${closed.name}`);
    });
}
