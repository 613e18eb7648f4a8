import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import { jsonOption, storedRepository } from '../../../cli/options.ts';
import { printDone } from '../../../cli/print.ts';

/** Adds `fumehood index settings remove`. */
export function addIndexSettingsRemove(settings: Command): void {
  settings
    .command('remove')
    .description('let the index jobs of a repository get what is usual again')
    .argument('<repository>', 'name of the repository', storedRepository)
    .addOption(jsonOption())
    .action(async (repository: string, options: ClientOptions) => {
      await (await connect(options)).code.removeSettings(repository);
      printDone(options, { removed: repository }, `the index jobs of ${repository} get what is usual`);
    });
}
