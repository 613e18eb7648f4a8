import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { accessName, jsonOption } from '../../cli/options.ts';
import { printDone } from '../../cli/print.ts';

/** Adds `fumehood orgs remove`. */
export function addOrgsRemove(orgs: Command): void {
  orgs
    .command('remove')
    .description('remove an organisation that has no batch changes, with its secrets')
    .argument('<name>', 'name of the organisation', accessName)
    .addOption(jsonOption())
    .action(async (name: string, options: ClientOptions) => {
      await (await connect(options)).organisations.remove(name);
      printDone(options, { removed: name }, `removed the organisation ${name} and its secrets`);
    });
}
