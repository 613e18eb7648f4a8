import type { Command } from 'commander';
import { addBatchChangeCommand, type BatchChangeOptions, batchIds } from '../../cli/batch-options.ts';

/** Adds `fumehood batches close-changesets`. */
export function addBatchesCloseChangesets(batches: Command): void {
  addBatchChangeCommand(batches, 'close-changesets')
    .description('close open changesets on their code hosts; the batch change stays open')
    .argument('<changeset...>', 'ids of changesets', batchIds)
    .action(async (named: string, ids: string[], options: BatchChangeOptions) => {
      const { changeChangesets } = await import('../../batches/changesets.ts');
      await changeChangesets(named, ids, options, {
        will: 'be closed',
        ask: (client, batchChange, some) => client.change(batchChange, 'close-changesets', some),
      });
    });
}
