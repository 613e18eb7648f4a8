import type { SetWebhook } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import { jsonOption, storedRepository } from '../../../cli/options.ts';
import { note, printResult } from '../../../cli/print.ts';
import { table } from '../../../cli/table.ts';
import { usage } from '../../../errors.ts';
import { deliveryUrl, settingsOf } from '../../../repos/webhook-lines.ts';
import { readSecretText } from '../../../target/secret.ts';

interface SetOptions extends ClientOptions {
  readonly secretStdin?: boolean;
}

/** Longest secret that is read, bytes: that of the instance. */
const secretMax = 200;

/** Adds `fumehood repos webhook set`. */
export function addReposWebhookSet(webhook: Command): void {
  webhook
    .command('set')
    .description('let a code host say that a repository has changed; an earlier secret is not valid any more')
    .argument('<repository>', 'name of the repository', storedRepository)
    .option('--secret-stdin', 'read the secret from stdin; default: the instance makes one')
    .addOption(jsonOption())
    .action(set);
}

async function set(repository: string, options: SetOptions): Promise<void> {
  if (options.secretStdin && options.tokenStdin)
    throw usage(
      '--secret-stdin and --token-stdin both read stdin',
      'Give the access token in FUMEHOOD_TOKEN, or use `fumehood login`.',
    );
  const request: SetWebhook = options.secretStdin
    ? { secret: await readSecretText(process.stdin, 'secret', secretMax, note) }
    : {};
  const made = await (await connect(options)).repositories.setWebhook(repository, request);
  if (made.secret !== null) note('the secret is shown once');
  note('give these settings to the code host:');
  const lines = table([
    ...settingsOf(deliveryUrl(made, options.url)),
    ['secret', made.secret ?? 'the one that you gave'],
  ]);
  printResult(options, made, lines);
}
