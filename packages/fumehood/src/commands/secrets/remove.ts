import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption, secretName } from '../../cli/options.ts';
import { printDone } from '../../cli/print.ts';
import { addSecretOwnerOptions, secretOwner, type SecretOwnerOptions } from '../../cli/secret-owner.ts';

/** Adds `fumehood secrets remove`. */
export function addSecretsRemove(secrets: Command): void {
  addSecretOwnerOptions(secrets.command('remove'))
    .description('remove a secret')
    .argument('<name>', 'name of the secret', secretName)
    .addOption(jsonOption())
    .action(async (name: string, options: ClientOptions & SecretOwnerOptions) => {
      await (await connect(options)).secrets.remove(name, secretOwner(options));
      printDone(options, { removed: name }, `removed the secret ${name}: no more jobs get it`);
    });
}
