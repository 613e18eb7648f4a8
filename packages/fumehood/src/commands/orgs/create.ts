import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { accessName, jsonOption } from '../../cli/options.ts';
import { printDone } from '../../cli/print.ts';

/** Adds `fumehood orgs create`. */
export function addOrgsCreate(orgs: Command): void {
  orgs
    .command('create')
    .description('create an organisation, whose members share batch changes and secrets')
    .argument('<name>', 'name of the organisation', accessName)
    .addOption(jsonOption())
    .action(async (name: string, options: ClientOptions) => {
      const made = await (await connect(options)).organisations.create(name);
      printDone(
        options,
        made,
        `the organisation ${name} is created: \`fumehood orgs members add ${name} USER\` adds its members`,
      );
    });
}
