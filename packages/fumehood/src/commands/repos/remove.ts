import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption, storedRepository } from '../../cli/options.ts';
import { printDone } from '../../cli/print.ts';

/** Adds `fumehood repos remove`. */
export function addReposRemove(repos: Command): void {
  repos
    .command('remove')
    .description('remove a repository, and what was indexed of it')
    .argument('<name>', 'name of the repository', storedRepository)
    .addOption(jsonOption())
    .action(async (name: string, options: ClientOptions) => {
      await (await connect(options)).repositories.remove(name);
      printDone(options, { removed: name }, `${name} is removed`);
    });
}
