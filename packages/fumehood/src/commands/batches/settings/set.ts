import type { Command } from 'commander';
import { addBatchJobOptions, type BatchJobOptions, batchJobSettings } from '../../../cli/batch-options.ts';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import { jsonOption } from '../../../cli/options.ts';
import { printDone } from '../../../cli/print.ts';

/** Adds `fumehood batches settings set`. */
export function addBatchesSettingsSet(settings: Command): void {
  addBatchJobOptions(settings.command('set'))
    .description('set what the jobs of batch changes get; what is left out is as usual again')
    .option(
      '--helper-image <image>',
      'executors of upstream’s kind run each step in containers of its own, with this image of its helper',
    )
    .addOption(jsonOption())
    .action(async (options: ClientOptions & BatchJobOptions & { helperImage?: string }) => {
      const { helperImage = null } = options;
      const client = await connect(options);
      const stored = await client.batches.setSettings({ ...batchJobSettings(options), helperImage });
      printDone(options, stored, 'the jobs of batch specs that are executed from now on get these settings');
    });
}
