import type { QueueName } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import { accessName, daysOption, expiryAfter, jsonOption, queues } from '../../../cli/options.ts';
import { printSecret } from '../../../cli/print.ts';

/** Adds `fumehood executors credentials create`. */
export function addCredentialsCreate(credentials: Command): void {
  credentials
    .command('create')
    .description('create a credential, and print its secret')
    .argument('<name>', 'name of the credential', accessName)
    .requiredOption('--queue <queue>', 'a queue that its executors may lease from (repeatable)', queues)
    .addOption(daysOption())
    .addOption(jsonOption())
    .action(async (name: string, options: ClientOptions & { queue: QueueName[]; days?: number }) => {
      const { access } = await connect(options);
      const expiresAt = expiryAfter(options.days);
      printSecret(options, await access.createCredential({ name, queues: options.queue, expiresAt }));
    });
}
