import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import {
  addIndexJobOptions,
  type IndexJobOptions,
  indexJobSettings,
} from '../../../cli/index-job-options.ts';
import { jsonOption, secretNames, storedRepository } from '../../../cli/options.ts';
import { printDone } from '../../../cli/print.ts';

interface SetOptions extends ClientOptions, IndexJobOptions {
  readonly secret?: string[];
}

/** Adds `fumehood index settings set`. */
export function addIndexSettingsSet(settings: Command): void {
  const command = settings
    .command('set')
    .description('set what the index jobs of a repository get; what is left out is as usual again')
    .argument('<repository>', 'name of the repository', storedRepository);
  addIndexJobOptions(command)
    .option(
      '--secret <name>',
      'let commits ask for this secret with requestedEnvVars: whoever can push can read it (repeatable)',
      secretNames,
    )
    .addOption(jsonOption())
    .action(async (repository: string, options: SetOptions) => {
      const client = await connect(options);
      const stored = await client.code.setSettings(repository, {
        ...indexJobSettings(options),
        ...(options.secret !== undefined && { secrets: options.secret }),
      });
      printDone(options, stored, `the next index jobs of ${repository} get these settings`);
    });
}
