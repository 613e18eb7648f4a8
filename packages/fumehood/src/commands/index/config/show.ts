import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import { jsonOption, storedRepository } from '../../../cli/options.ts';
import { printResult } from '../../../cli/print.ts';

/** Adds `fumehood index config show`. */
export function addIndexConfigShow(config: Command): void {
  config
    .command('show')
    .description('print the configuration that the instance has for a repository')
    .argument('<repository>', 'name of the repository', storedRepository)
    .addOption(jsonOption())
    .action(async (repository: string, options: ClientOptions) => {
      const stored = await (await connect(options)).code.config(repository);
      printResult(options, stored, stored.text.replace(/\n$/, '').split('\n'));
    });
}
