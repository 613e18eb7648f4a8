import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import { jsonOption, storedRepository } from '../../../cli/options.ts';
import { printDone } from '../../../cli/print.ts';

/** Adds `fumehood index config remove`. */
export function addIndexConfigRemove(config: Command): void {
  config
    .command('remove')
    .description('remove the configuration that the instance has for a repository')
    .argument('<repository>', 'name of the repository', storedRepository)
    .addOption(jsonOption())
    .action(async (repository: string, options: ClientOptions) => {
      await (await connect(options)).code.removeConfig(repository);
      printDone(options, { removed: repository }, `the configuration for ${repository} is removed`);
    });
}
