import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { printResult } from '../../cli/print.ts';
import { minuteOf, table } from '../../cli/table.ts';

/** Adds `fumehood broker list`. */
export function addBrokerList(broker: Command): void {
  broker
    .command('list')
    .description('list the entries of the broker, without their secrets')
    .addOption(jsonOption())
    .action(async (options: ClientOptions) => {
      const all = await (await connect(options)).broker.list();
      const rows = all.map(({ name, kind, url, header, username, queues, repositories, createdAt }) => [
        ...[name, kind, url, username ?? header ?? 'none'],
        ...[queues?.join(',') ?? 'all', repositories?.join(',') ?? 'all', minuteOf(createdAt)],
      ]);
      const head = ['NAME', 'KIND', 'URL', 'CREDENTIAL', 'QUEUES', 'REPOSITORIES', 'SET'];
      printResult(options, { entries: all }, table([head, ...rows]));
    });
}
