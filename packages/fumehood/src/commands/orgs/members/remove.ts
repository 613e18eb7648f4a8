import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import { accessName, jsonOption } from '../../../cli/options.ts';
import { printDone } from '../../../cli/print.ts';

/** Adds `fumehood orgs members remove`. */
export function addOrgsMembersRemove(members: Command): void {
  members
    .command('remove')
    .description('remove a member from an organisation')
    .argument('<organisation>', 'name of the organisation', accessName)
    .argument('<user>', 'name of the user', accessName)
    .addOption(jsonOption())
    .action(async (organisation: string, user: string, options: ClientOptions) => {
      const now = await (await connect(options)).organisations.removeMember(organisation, user);
      printDone(options, now, `${user} is no member of ${organisation} any more`);
    });
}
