import type { Command } from 'commander';
import { commandContext } from '../cli/context.ts';
import { jsonOption } from '../cli/options.ts';
import { note, type PrintOptions, printResult } from '../cli/print.ts';

/** Adds `fumehood clean`. */
export function addClean(program: Command): void {
  program
    .command('clean')
    .description('remove files that can be built or downloaded again')
    .option('--all', 'remove the whole state directory: also jobs, indexes and secrets')
    .addOption(jsonOption())
    .action(async (options: PrintOptions & { all?: boolean }) => {
      const { clean, cleanLines } = await import('../status/clean.ts');
      const { findFormerStates } = await import('../state/former-name.ts');
      const removed = await clean(commandContext(), options.all ?? false);
      for (const { path, remedy } of findFormerStates(process.env, process.getuid?.() ?? 0))
        note(`${path} is a state directory of this product's former name. ${remedy}`);
      printResult(options, { removed }, cleanLines(removed));
    });
}
