import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import { jsonOption } from '../../../cli/options.ts';
import { printDone } from '../../../cli/print.ts';

/** Adds `fumehood index dependencies off`. */
export function addIndexDependenciesOff(dependencies: Command): void {
  dependencies
    .command('off')
    .description('have no more dependencies indexed; their indexes stay')
    .addOption(jsonOption())
    .action(async (options: ClientOptions) => {
      await (await connect(options)).code.stopIndexingDependencies();
      printDone(options, { indexing: null }, 'no more dependencies are indexed');
    });
}
