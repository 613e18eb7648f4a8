import type { Command } from 'commander';
import { commandContext } from '../cli/context.ts';
import { jsonOption } from '../cli/options.ts';
import { type PrintOptions, printResult } from '../cli/print.ts';

/** Adds `fumehood status`. */
export function addStatus(program: Command): void {
  program
    .command('status')
    .description('show what is running, and what the state directory holds')
    .addOption(jsonOption())
    .action(async (options: PrintOptions) => {
      const { readStatus, statusLines } = await import('../status/status.ts');
      const status = await readStatus(commandContext().state);
      printResult(options, status, statusLines(status));
    });
}
