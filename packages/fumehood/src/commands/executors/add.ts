import type { QueueName } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { accessName, jsonOption, labels, queues } from '../../cli/options.ts';
import { note, printJson, printLines } from '../../cli/print.ts';

interface AddOptions extends ClientOptions {
  readonly queue?: QueueName[];
  readonly label?: string[];
}

/** Adds `fumehood executors add`. */
export function addExecutorsAdd(executors: Command): void {
  executors
    .command('add')
    .description('print the command that makes another machine an executor')
    .argument('<name>', 'name of the executor', accessName)
    .option('--queue <queue>', 'a queue that it leases from (repeatable); default: all', queues)
    .option('--label <label>', 'a label for jobs that ask for it (repeatable)', labels)
    .addOption(jsonOption())
    .action(async (name: string, options: AddOptions) => {
      const { access } = await connect(options);
      const { queue, label } = options;
      const made = await access.createJoinToken({
        name,
        ...(queue && { queues: queue }),
        ...(label && { labels: label }),
      });
      if (options.json) return printJson(made);
      const url = made.instanceUrl ?? options.url ?? 'https://INSTANCE';
      note(`run this on the other machine before ${made.expiresAt}; the token is valid once`);
      if (made.instanceUrl === null && options.url === undefined)
        note(
          'INSTANCE stands for its name: `fumehood instance start --url` or `url` in settings.json says it',
        );
      printLines([`fumehood executor join ${url} --token ${made.token}`]);
    });
}
