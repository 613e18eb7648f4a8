import type { Command } from 'commander';
import { addBatchChangeCommand, type BatchChangeOptions, batchIds } from '../../cli/batch-options.ts';

/** Adds `fumehood batches reenqueue`. */
export function addBatchesReenqueue(batches: Command): void {
  addBatchChangeCommand(batches, 'reenqueue')
    .description('try again now what failed with changesets, or waits after a failure')
    .argument(
      '[changeset...]',
      'ids of changesets; default: all that have failed or wait after a failure',
      batchIds,
    )
    .action(async (named: string, ids: string[] = [], options: BatchChangeOptions) => {
      const { changeChangesets } = await import('../../batches/changesets.ts');
      await changeChangesets(named, ids, options, {
        will: 'be tried again',
        byDefault: ({ state }) => state === 'failed' || state === 'retrying',
        ask: (client, batchChange, some) => client.change(batchChange, 'reenqueue', some),
      });
    });
}
