import { egressPolicyText } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import { jsonOption } from '../../../cli/options.ts';
import { printResult } from '../../../cli/print.ts';
import { minuteOf, table } from '../../../cli/table.ts';

/** Adds `fumehood network ceilings list`. */
export function addCeilingsList(ceilings: Command): void {
  ceilings
    .command('list')
    .description('list what the jobs of each queue and tenant may reach at most')
    .addOption(jsonOption())
    .action(async (options: ClientOptions) => {
      const all = await (await connect(options)).ceilings.list();
      const rows = all.map(({ queue, tenant, policy, createdAt }) => [
        ...[queue ?? 'all', tenant ?? 'all', minuteOf(createdAt), egressPolicyText(policy)],
      ]);
      printResult(options, { ceilings: all }, table([['QUEUE', 'TENANT', 'SET', 'CEILING'], ...rows]));
    });
}
