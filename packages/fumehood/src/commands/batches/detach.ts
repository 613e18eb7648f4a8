import type { Command } from 'commander';
import { addBatchChangeCommand, type BatchChangeOptions, batchIds } from '../../cli/batch-options.ts';

/** Adds `fumehood batches detach`. */
export function addBatchesDetach(batches: Command): void {
  addBatchChangeCommand(batches, 'detach')
    .description('let changesets go: the batch change follows them no longer')
    .argument('<changeset...>', 'ids of changesets', batchIds)
    .action(async (named: string, ids: string[] = [], options: BatchChangeOptions) => {
      const { changeChangesets } = await import('../../batches/changesets.ts');
      await changeChangesets(named, ids, options, {
        will: 'be detached',
        ask: (client, batchChange, some) => client.change(batchChange, 'detach', some),
      });
    });
}
