import type { Command } from 'commander';
import { addBatchChangeCommand, type BatchChangeOptions, batchIds } from '../../cli/batch-options.ts';

/** Adds `fumehood batches archive`. */
export function addBatchesArchive(batches: Command): void {
  addBatchChangeCommand(batches, 'archive')
    .description('take changesets out of sight: they stay as they are on their code hosts')
    .argument('<changeset...>', 'ids of changesets', batchIds)
    .action(async (named: string, ids: string[] = [], options: BatchChangeOptions) => {
      const { changeChangesets } = await import('../../batches/changesets.ts');
      await changeChangesets(named, ids, options, {
        will: 'be archived',
        ask: (client, batchChange, some) => client.change(batchChange, 'archive', some),
      });
    });
}
