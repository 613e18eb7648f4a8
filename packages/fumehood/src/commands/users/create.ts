import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { accessName, jsonOption } from '../../cli/options.ts';
import { printDone } from '../../cli/print.ts';

/** Adds `fumehood users create`. */
export function addUsersCreate(users: Command): void {
  users
    .command('create')
    .description('create a user; `fumehood tokens create --user` then creates access tokens for it')
    .argument('<name>', 'name of the user, and of the tenant of its jobs', accessName)
    .option('--admin', 'allow the user to manage users, executors and shares')
    .addOption(jsonOption())
    .action(async (name: string, options: ClientOptions & { admin?: boolean }) => {
      const { access } = await connect(options);
      const user = await access.createUser({ name, admin: options.admin ?? false });
      printDone(options, user, `the user ${name} is created; it has no access token yet`);
    });
}
