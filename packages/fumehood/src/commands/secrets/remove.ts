import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption, secretName } from '../../cli/options.ts';
import { printDone } from '../../cli/print.ts';

/** Adds `fumehood secrets remove`. */
export function addSecretsRemove(secrets: Command): void {
  secrets
    .command('remove')
    .description('remove a secret')
    .argument('<name>', 'name of the secret', secretName)
    .addOption(jsonOption())
    .action(async (name: string, options: ClientOptions) => {
      await (await connect(options)).secrets.remove(name);
      printDone(options, { removed: name }, `removed the secret ${name}: no more jobs get it`);
    });
}
