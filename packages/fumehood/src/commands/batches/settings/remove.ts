import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import { jsonOption } from '../../../cli/options.ts';
import { printDone } from '../../../cli/print.ts';

/** Adds `fumehood batches settings remove`. */
export function addBatchesSettingsRemove(settings: Command): void {
  settings
    .command('remove')
    .description('let the jobs of batch changes get what other jobs get, and no network')
    .addOption(jsonOption())
    .action(async (options: ClientOptions) => {
      await (await connect(options)).batches.removeSettings();
      printDone(options, { removed: true }, 'removed the settings of batch changes');
    });
}
