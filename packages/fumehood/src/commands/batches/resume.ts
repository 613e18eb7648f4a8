import type { Command } from 'commander';
import { findBatchChange } from '../../batches/find.ts';
import { addBatchChangeCommand, type BatchChangeOptions } from '../../cli/batch-options.ts';
import { connect } from '../../cli/context.ts';
import { printDone } from '../../cli/print.ts';

/** Adds `fumehood batches resume`. */
export function addBatchesResume(batches: Command): void {
  addBatchChangeCommand(batches, 'resume')
    .description('let the waves go on that too many failed checks have stopped')
    .action(async (named: string, { namespace, ...options }: BatchChangeOptions) => {
      const client = await connect(options);
      const { id } = await findBatchChange(client, named, namespace);
      const now = await client.batches.resume(id);
      printDone(options, now, `the next wave of ${now.name} begins`);
    });
}
