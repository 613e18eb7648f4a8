import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { printDone } from '../../cli/print.ts';

/** Adds `fumehood executors resume`. */
export function addExecutorsResume(executors: Command): void {
  executors
    .command('resume')
    .description('let a drained executor lease jobs again')
    .argument('<name>', 'name of the executor')
    .addOption(jsonOption())
    .action(async (name: string, options: ClientOptions) => {
      await (await connect(options)).setDraining(name, false);
      printDone(options, { executor: name, draining: false }, `the executor ${name} leases again`);
    });
}
