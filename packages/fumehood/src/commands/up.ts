import type { Command } from 'commander';
import { commandContext } from '../cli/context.ts';
import { jsonOption, labels } from '../cli/options.ts';
import { noteCommandPath, type PrintOptions, printDone } from '../cli/print.ts';

/** Adds `fumehood up`. */
export function addUp(program: Command): void {
  program
    .command('up')
    .description('start the instance and an executor on this machine')
    .option(
      '--label <label>',
      'give the executor a label, for jobs that ask for it (repeatable); one with other labels is restarted',
      labels,
    )
    .addOption(jsonOption())
    .action(async (options: PrintOptions & { label?: string[] }) => {
      const { bringUp } = await import('../up/up.ts');
      const { findRunning } = await import('../up/running.ts');
      const context = commandContext();
      const client = await bringUp({ ...context, labels: options.label });
      const { tiers } = await client.status();
      const url = findRunning(context.state).instance?.address?.url;
      const offered = tiers.join(', ') || 'no virtual machines: see `fumehood doctor`';
      printDone(options, { url, tiers }, `the instance is at ${url}; this machine offers ${offered}`);
      if (!options.json) noteCommandPath();
    });
}
