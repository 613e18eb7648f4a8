import type { Share } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { printResult } from '../../cli/print.ts';
import { table } from '../../cli/table.ts';

/** Adds `fumehood shares list`. */
export function addSharesList(shares: Command): void {
  shares
    .command('list')
    .description('list the weight of each tenant, and how many of its jobs wait and run')
    .addOption(jsonOption())
    .action(async (options: ClientOptions) => {
      const all = await (await connect(options)).shares();
      printResult(options, { shares: all }, shareLines(all));
    });
}

/** Lays out shares as a table. */
export function shareLines(shares: readonly Share[]): string[] {
  if (shares.length === 0) return ['no tenant has queued a job yet'];
  const rows = shares.map(({ queue, tenant, weight, waiting, running }) => [
    ...[queue, tenant, String(weight), String(waiting), String(running)],
  ]);
  return table([['QUEUE', 'TENANT', 'WEIGHT', 'WAITING', 'RUNNING'], ...rows]);
}
