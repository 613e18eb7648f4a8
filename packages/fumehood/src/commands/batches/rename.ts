import type { Command } from 'commander';
import { findBatchChange } from '../../batches/find.ts';
import { addBatchChangeCommand, type BatchChangeOptions } from '../../cli/batch-options.ts';
import { connect } from '../../cli/context.ts';
import { printDone } from '../../cli/print.ts';

/** Adds `fumehood batches rename`. */
export function addBatchesRename(batches: Command): void {
  addBatchChangeCommand(batches, 'rename')
    .description('give a batch change another name')
    .argument('<new-name>', 'its name from now on')
    .action(async (named: string, name: string, { namespace, ...options }: BatchChangeOptions) => {
      const client = await connect(options);
      const { id } = await findBatchChange(client, named, namespace);
      const now = await client.batches.move(id, { name });
      printDone(
        options,
        now,
        `it is ${now.namespace}/${now.name} now: change the name in its batch spec, too`,
      );
    });
}
