import type { Command } from 'commander';
import { commandContext } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { type PrintOptions, printDone } from '../../cli/print.ts';
import type { InstanceOptions } from '../../instance/options.ts';
import { addInstanceOptions } from './start.ts';

/** Adds `fumehood instance install`. */
export function addInstanceInstall(instance: Command): void {
  addInstanceOptions(
    instance.command('install').description('run the instance as a hardened service of systemd'),
  )
    .addOption(jsonOption())
    .addHelpText(
      'after',
      [
        '',
        'It runs as the user `fumehood`, who has to be able to read the certificate and its key. DATABASE_URL is stored in a file that',
        'only root can read. Called again with other options, it restarts the instance with these.',
      ].join('\n'),
    )
    .action(async (options: InstanceOptions & PrintOptions) => {
      const { installInstance } = await import('../../instance/install.ts');
      const installed = await installInstance(commandContext(), options, process.env);
      printDone(
        options,
        installed,
        `the instance runs at ${installed.url}, and at each boot (${installed.unit})`,
      );
    });
}
