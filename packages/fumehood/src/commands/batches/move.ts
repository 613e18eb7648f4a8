import type { Command } from 'commander';
import { findBatchChange } from '../../batches/find.ts';
import { addBatchChangeCommand, type BatchChangeOptions, batchNamespace } from '../../cli/batch-options.ts';
import { connect } from '../../cli/context.ts';
import { printDone } from '../../cli/print.ts';

/** Adds `fumehood batches move`. */
export function addBatchesMove(batches: Command): void {
  addBatchChangeCommand(batches, 'move')
    .description('give a batch change to another user or organisation')
    .argument('<to>', 'the user, or org/NAME, whose it is from now on', batchNamespace)
    .action(async (named: string, to: string, { namespace, ...options }: BatchChangeOptions) => {
      const client = await connect(options);
      const { id } = await findBatchChange(client, named, namespace);
      const now = await client.batches.move(id, { namespace: to });
      printDone(
        options,
        now,
        `it is ${now.namespace}/${now.name} now: send its batch specs with --namespace`,
      );
    });
}
