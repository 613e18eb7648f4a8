import type { Command } from 'commander';
import { addBatchJobOptions, namespaceOption } from './batch-options.ts';

/** Adds the options of commands that can send a batch spec. */
export function addSpecOptions(command: Command): Command {
  return addBatchJobOptions(
    command
      .option('-f, --file <path>', 'the batch spec; - is stdin')
      .addOption(namespaceOption('whose batch change it is: a user, or org/NAME; default: you'))
      .option('--allow-ignored', 'also run in repositories that have a .batchignore')
      .option('--allow-unsupported', 'also run in repositories on whose host no changeset can be opened')
      .option('--no-cache', 'run every step, also where there is a result of an earlier one'),
  );
}
