import type { VmmSetting } from '@fumehood/executor';
import { type Command, Option } from 'commander';
import { commandContext } from '../cli/context.ts';
import { jsonOption, labels } from '../cli/options.ts';
import { noteCommandPath, type PrintOptions, printDone } from '../cli/print.ts';

/** Written out: a command loads nothing of an executor before it runs. */
const vmmSettings = ['auto', 'qemu', 'firecracker'] as const satisfies readonly VmmSetting[];

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
    .addOption(
      new Option(
        '--vmm <vmm>',
        'run VMs on this VMM; default: FUMEHOOD_VMM, or `vmm` in settings.json; an executor with another one is restarted',
      ).choices(vmmSettings),
    )
    .addOption(jsonOption())
    .action(async (options: PrintOptions & { label?: string[]; vmm?: VmmSetting }) => {
      const { bringUp } = await import('../up/up.ts');
      const { findRunning } = await import('../up/running.ts');
      const context = commandContext();
      const client = await bringUp({ ...context, labels: options.label, vmm: options.vmm });
      const { tiers } = await client.status();
      const url = findRunning(context.state).instance?.address?.url;
      const offered = tiers.join(', ') || 'no virtual machines: see `fumehood doctor`';
      printDone(options, { url, tiers }, `the instance is at ${url}; this machine offers ${offered}`);
      if (!options.json) noteCommandPath();
    });
}
