import { defaultTiers, type Tier } from '@fumehood/protocol';
import { type Command, Option } from 'commander';
import { commandContext } from '../../cli/context.ts';
import { tiers } from '../../cli/options.ts';

/** Makes the option `--accept` of a command about an executor that upstream's variables may order. */
export function acceptOption(): Option {
  return new Option('--accept <tier>', 'also accept this tier for jobs of an upstream instance (repeatable)')
    .argParser(tiers)
    .default([...defaultTiers], 'vm-hardware only');
}

/** Adds `fumehood executor start`. */
export function addExecutorStart(executor: Command): void {
  executor
    .command('start')
    .description('run the executor of this machine in the foreground, with its log on stderr')
    .option('--log-json', 'write the log as JSON, one object per line')
    .addOption(acceptOption())
    .addHelpText(
      'after',
      [
        '',
        'The first SIGTERM lets its jobs finish and starts no more; the second one stops them. EXECUTOR_FRONTEND_URL,',
        "EXECUTOR_FRONTEND_PASSWORD and other variables of upstream's executors make it lease from an upstream instance.",
      ].join('\n'),
    )
    .action(async (options: { readonly accept: Tier[]; readonly logJson?: boolean }) => {
      const { becomeExecutor } = await import('../../executor/start.ts');
      await becomeExecutor(commandContext(), options);
    });
}
