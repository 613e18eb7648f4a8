import type { Command } from 'commander';
import { commandContext } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { type PrintOptions, printDone } from '../../cli/print.ts';

/** Adds `fumehood executor leave`. */
export function addExecutorLeave(executor: Command): void {
  executor
    .command('leave')
    .description('let the jobs of this executor finish, and leave its instance for good')
    .addOption(jsonOption())
    .action(async (options: PrintOptions) => {
      const { leave } = await import('../../executor/join.ts');
      const { name, instanceUrl } = await leave(commandContext());
      printDone(options, { name, instanceUrl }, `${name} is no executor of ${instanceUrl} any more`);
    });
}
