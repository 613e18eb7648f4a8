import type { Command } from 'commander';
import { commandContext } from '../../cli/context.ts';

/** Adds `fumehood executor start`. */
export function addExecutorStart(executor: Command): void {
  executor
    .command('start')
    .description('run the executor of this machine in the foreground, with its log on stderr')
    .option('--log-json', 'write the log as JSON, one object per line')
    .addHelpText(
      'after',
      '\nThe first SIGTERM lets its jobs finish and starts no more; the second one stops them.',
    )
    .action(async (options: { logJson?: boolean }) => {
      const { becomeExecutor } = await import('../../executor/start.ts');
      await becomeExecutor(commandContext(), options);
    });
}
