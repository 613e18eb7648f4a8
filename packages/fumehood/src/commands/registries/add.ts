import type { QueueName } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption, queues, registryHost } from '../../cli/options.ts';
import { note, printDone } from '../../cli/print.ts';
import { usage } from '../../errors.ts';
import { readSecretText } from '../../target/secret.ts';

interface AddOptions extends ClientOptions {
  readonly username: string;
  readonly passwordStdin?: boolean;
  readonly queue?: QueueName[];
}

/** Longest accepted password, bytes. */
const passwordMax = 16_384;

/** Adds `fumehood registries add`. */
export function addRegistriesAdd(registries: Command): void {
  registries
    .command('add')
    .description(
      'store the credential for a registry, which executors get with jobs that name an image there',
    )
    .argument('<host>', 'HOST[:PORT] of the registry; docker.io is Docker Hub', registryHost)
    .requiredOption('--username <name>', 'user of the registry')
    .option('--password-stdin', 'read the password, or an access token of the registry, from stdin')
    .option('--queue <queue>', 'give it only to jobs of this queue (repeatable); default: all', queues)
    .addOption(jsonOption())
    .action(add);
}

async function add(host: string, options: AddOptions): Promise<void> {
  const { username, passwordStdin, queue, tokenStdin } = options;
  if (!passwordStdin) throw usage('the password is missing', 'Give it on stdin, and add --password-stdin.');
  if (tokenStdin)
    throw usage(
      '--password-stdin and --token-stdin both read stdin',
      'Give the access token in FUMEHOOD_TOKEN, or use `fumehood login`.',
    );
  const password = await readSecretText(process.stdin, 'password', passwordMax, note);
  const made = await (await connect(options)).registries.set(host, {
    ...{ username, password },
    ...(queue && { queues: queue }),
  });
  printDone(
    options,
    made,
    `jobs ${queue ? `of ${queue.join(', ')} ` : ''}get images of ${made.host} as ${made.username}`,
  );
}
