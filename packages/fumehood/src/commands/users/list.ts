import type { UserRecord } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { printResult } from '../../cli/print.ts';
import { minuteOf, table } from '../../cli/table.ts';

/** Adds `fumehood users list`. */
export function addUsersList(users: Command): void {
  users
    .command('list')
    .description('list all users')
    .addOption(jsonOption())
    .action(async (options: ClientOptions) => {
      const all = await (await connect(options)).access.users();
      printResult(options, { users: all }, userLines(all));
    });
}

function userLines(users: readonly UserRecord[]): string[] {
  const rows = users.map(({ name, admin, createdAt }) => [name, admin ? 'yes' : 'no', minuteOf(createdAt)]);
  return table([['NAME', 'ADMIN', 'MADE'], ...rows]);
}
