import type { Command } from 'commander';
import { commandContext } from '../cli/context.ts';
import { jsonOption } from '../cli/options.ts';
import { note, type PrintOptions, printJson } from '../cli/print.ts';

/** Adds `fumehood down`. */
export function addDown(program: Command): void {
  program
    .command('down')
    .description('stop the executor and the instance')
    .option('--drain', 'let running jobs finish first')
    .addOption(jsonOption())
    .action(async (options: PrintOptions & { drain?: boolean }) => {
      const { stopAll } = await import('../up/down.ts');
      const stopped = await stopAll({ ...commandContext(), drain: options.drain ?? false });
      if (options.json) printJson({ stopped });
      else if (stopped.length === 0) note('nothing was running');
    });
}
