import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { printDone } from '../../cli/print.ts';

/** Adds `fumehood executors drain`. */
export function addExecutorsDrain(executors: Command): void {
  executors
    .command('drain')
    .description('let an executor finish its jobs and lease no more')
    .argument('<name>', 'name of the executor')
    .addOption(jsonOption())
    .action(async (name: string, options: ClientOptions) => {
      await (await connect(options)).setDraining(name, true);
      printDone(options, { executor: name, draining: true }, `the executor ${name} leases nothing more`);
    });
}
