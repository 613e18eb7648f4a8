import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { printResult } from '../../cli/print.ts';
import { minuteOf, table } from '../../cli/table.ts';

/** Adds `fumehood registries list`. */
export function addRegistriesList(registries: Command): void {
  registries
    .command('list')
    .description('list the credentials for registries, without their passwords')
    .addOption(jsonOption())
    .action(async (options: ClientOptions) => {
      const all = await (await connect(options)).registries.list();
      const rows = all.map(({ host, username, queues, createdAt }) => [
        ...[host, username, queues?.join(',') ?? 'all', minuteOf(createdAt)],
      ]);
      printResult(options, { registries: all }, table([['REGISTRY', 'USER', 'QUEUES', 'SET'], ...rows]));
    });
}
