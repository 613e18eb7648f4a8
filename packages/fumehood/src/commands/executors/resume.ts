import type { Command } from 'commander';
import { connect } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { type PrintOptions, printDone } from '../../cli/print.ts';

/** Adds `fumehood executors resume`. */
export function addExecutorsResume(executors: Command): void {
  executors
    .command('resume')
    .description('let a drained executor lease jobs again')
    .argument('<name>', 'name of the executor')
    .addOption(jsonOption())
    .action(async (name: string, options: PrintOptions) => {
      await (await connect()).setDraining(name, false);
      printDone(options, { executor: name, draining: false }, `the executor ${name} leases again`);
    });
}
