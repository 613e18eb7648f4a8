import type { Command } from 'commander';
import { jsonOption } from '../cli/options.ts';
import { type PrintOptions, printDone } from '../cli/print.ts';
import { loginFile, removeLogin } from '../target/login.ts';

/** Adds `fumehood logout`. */
export function addLogout(program: Command): void {
  program
    .command('logout')
    .description('forget the instance and the access token of `fumehood login`')
    .addOption(jsonOption())
    .action((options: PrintOptions) => {
      const removed = removeLogin(loginFile(process.env));
      const line = removed ? 'commands use the instance of this machine again' : 'there was no login';
      printDone(options, { removed }, line);
    });
}
