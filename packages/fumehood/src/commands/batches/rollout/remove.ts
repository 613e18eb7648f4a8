import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import { jsonOption } from '../../../cli/options.ts';
import { printDone } from '../../../cli/print.ts';

/** Adds `fumehood batches rollout remove`. */
export function addBatchesRolloutRemove(rollout: Command): void {
  rollout
    .command('remove')
    .description('let changesets be changed at once')
    .addOption(jsonOption())
    .action(async (options: ClientOptions) => {
      await (await connect(options)).batches.removeRollout();
      printDone(options, { removed: true }, 'changesets are changed at once from now on');
    });
}
