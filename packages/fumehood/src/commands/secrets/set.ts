import { secretBytesMax } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption, secretName } from '../../cli/options.ts';
import { note, printDone } from '../../cli/print.ts';
import { addSecretOwnerOptions, secretOwner, type SecretOwnerOptions } from '../../cli/secret-owner.ts';
import { usage } from '../../errors.ts';
import { readSecretText } from '../../target/secret.ts';

/** Adds `fumehood secrets set`. */
export function addSecretsSet(secrets: Command): void {
  addSecretOwnerOptions(secrets.command('set'))
    .description('store a secret, whose value is on stdin, for `fumehood run --secret` and batch changes')
    .argument('<name>', 'name of the environment variable', secretName)
    .addOption(jsonOption())
    .action(set);
}

async function set(name: string, options: ClientOptions & SecretOwnerOptions): Promise<void> {
  if (options.tokenStdin)
    throw usage(
      'the value of the secret and --token-stdin are both on stdin',
      'Give the access token in FUMEHOOD_TOKEN, or use `fumehood login`.',
    );
  const value = await readSecretText(process.stdin, 'value of the secret', secretBytesMax, note);
  const made = await (await connect(options)).secrets.set(name, value, secretOwner(options));
  const isShared = options.org !== undefined || options.global === true;
  printDone(
    options,
    made,
    isShared
      ? `the steps of batch specs get it as $${name} if their \`env\` names it`
      : `\`fumehood run --secret ${name}\` gives it to a command as $${name}`,
  );
}
