import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import { jsonOption, storedRepository } from '../../../cli/options.ts';
import { printDone } from '../../../cli/print.ts';

/** Adds `fumehood repos webhook remove`. */
export function addReposWebhookRemove(webhook: Command): void {
  webhook
    .command('remove')
    .description('accept no delivery for a repository any more')
    .argument('<repository>', 'name of the repository', storedRepository)
    .addOption(jsonOption())
    .action(async (repository: string, options: ClientOptions) => {
      await (await connect(options)).repositories.removeWebhook(repository);
      printDone(options, { removed: repository }, `the webhook of ${repository} is removed`);
    });
}
