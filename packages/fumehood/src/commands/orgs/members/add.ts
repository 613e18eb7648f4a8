import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import { accessName, jsonOption } from '../../../cli/options.ts';
import { printDone } from '../../../cli/print.ts';

/** Adds `fumehood orgs members add`. */
export function addOrgsMembersAdd(members: Command): void {
  members
    .command('add')
    .description('make a user a member of an organisation')
    .argument('<organisation>', 'name of the organisation', accessName)
    .argument('<user>', 'name of the user', accessName)
    .addOption(jsonOption())
    .action(async (organisation: string, user: string, options: ClientOptions) => {
      const now = await (await connect(options)).organisations.addMember(organisation, user);
      printDone(options, now, `${user} is a member of ${organisation}`);
    });
}
