import type { Command } from 'commander';
import { addBatchChangeCommand, type BatchChangeOptions, batchIds } from '../../cli/batch-options.ts';

/** Adds `fumehood batches publish`. */
export function addBatchesPublish(batches: Command): void {
  addBatchChangeCommand(batches, 'publish')
    .description('publish changesets of which the batch spec does not say whether they are')
    .argument('[changeset...]', 'ids of changesets; default: all that are not published', batchIds)
    .option('--draft', 'as drafts, where the code host has them')
    .action(async (named: string, ids: string[] = [], options: BatchChangeOptions & { draft?: boolean }) => {
      const { changeChangesets } = await import('../../batches/changesets.ts');
      const { draft, ...rest } = options;
      await changeChangesets(named, ids, rest, {
        will: 'be published',
        byDefault: ({ state, published }) => state === 'unpublished' && published === null,
        ask: (client, batchChange, changesets) =>
          client.publish(batchChange, { changesets: [...changesets], publication: draft ? 'draft' : true }),
      });
    });
}
