import type { OrganisationRecord } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { printResult } from '../../cli/print.ts';
import { minuteOf, table } from '../../cli/table.ts';

/** Adds `fumehood orgs list`. */
export function addOrgsList(orgs: Command): void {
  orgs
    .command('list')
    .description('list the organisations that you are a member of; an admin sees all')
    .addOption(jsonOption())
    .action(async (options: ClientOptions) => {
      const all = await (await connect(options)).organisations.list();
      printResult(options, { organisations: all }, organisationLines(all));
    });
}

function organisationLines(all: readonly OrganisationRecord[]): string[] {
  const rows = all.map(({ name, members, createdAt }) => [
    name,
    members.join(', ') || '-',
    minuteOf(createdAt),
  ]);
  return table([['ORGANISATION', 'MEMBERS', 'MADE'], ...rows]);
}
