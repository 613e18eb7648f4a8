import type { Command } from 'commander';
import { findBatchChange } from '../../batches/find.ts';
import { batchIds, namespaceOption } from '../../cli/batch-options.ts';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { printDone } from '../../cli/print.ts';

interface PublishOptions extends ClientOptions {
  readonly namespace?: string;
  readonly changeset?: string[];
  readonly draft?: boolean;
}

/** Adds `fumehood batches publish`. */
export function addBatchesPublish(batches: Command): void {
  batches
    .command('publish')
    .description('publish changesets of which the batch spec does not say whether they are')
    .argument('<batch-change>', 'its name, or its id')
    .addOption(namespaceOption('the user or org/NAME whose it is'))
    .option('--changeset <id>', 'this changeset (repeatable); default: all that are not published', batchIds)
    .option('--draft', 'as drafts, where the code host has them')
    .addOption(jsonOption())
    .action(publish);
}

async function publish(
  named: string,
  { namespace, changeset, draft, ...options }: PublishOptions,
): Promise<void> {
  const client = await connect(options);
  const found = await findBatchChange(client, named, namespace);
  const unpublished = async () =>
    (await client.batches.changesets(found.id))
      .filter(({ state, archivedAt }) => state === 'unpublished' && archivedAt === null)
      .map(({ id }) => id);
  const changesets = changeset ?? (await unpublished());
  if (changesets.length === 0) {
    printDone(options, found, `all changesets of ${found.name} are published`);
    return;
  }
  const now = await client.batches.publish(found.id, { changesets, publication: draft ? 'draft' : true });
  printDone(options, now, `${changesets.length} changesets are being published`);
}
