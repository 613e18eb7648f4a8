import type { Command } from 'commander';
import { addBatchChangeCommand, type BatchChangeOptions, batchIds } from '../../cli/batch-options.ts';

/** Adds `fumehood batches merge`. */
export function addBatchesMerge(batches: Command): void {
  addBatchChangeCommand(batches, 'merge')
    .description('merge open changesets on their code hosts')
    .argument('<changeset...>', 'ids of changesets', batchIds)
    .option('--squash', 'as one commit')
    .action(async (named: string, ids: string[], options: BatchChangeOptions & { squash?: boolean }) => {
      const { changeChangesets } = await import('../../batches/changesets.ts');
      const { squash = false, ...rest } = options;
      await changeChangesets(named, ids, rest, {
        will: 'be merged',
        ask: (client, batchChange, some) => client.merge(batchChange, { changesets: [...some], squash }),
      });
    });
}
