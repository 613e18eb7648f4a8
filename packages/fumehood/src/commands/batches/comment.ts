import type { Command } from 'commander';
import { addBatchChangeCommand, type BatchChangeOptions, batchIds } from '../../cli/batch-options.ts';

/** Adds `fumehood batches comment`. */
export function addBatchesComment(batches: Command): void {
  addBatchChangeCommand(batches, 'comment')
    .description('comment on changesets on their code hosts')
    .argument('<changeset...>', 'ids of changesets', batchIds)
    .requiredOption('--body <text>', 'the comment, in Markdown')
    .action(async (named: string, ids: string[], options: BatchChangeOptions & { body: string }) => {
      const { changeChangesets } = await import('../../batches/changesets.ts');
      const { body, ...rest } = options;
      await changeChangesets(named, ids, rest, {
        will: 'get the comment',
        ask: (client, batchChange, some) => client.comment(batchChange, { changesets: [...some], body }),
      });
    });
}
