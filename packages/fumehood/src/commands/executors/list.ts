import type { Status } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { printResult } from '../../cli/print.ts';
import { minuteOf, table } from '../../cli/table.ts';

/** Adds `fumehood executors list`. */
export function addExecutorsList(executors: Command): void {
  executors
    .command('list')
    .description('list the connected executors')
    .addOption(jsonOption())
    .action(async (options: ClientOptions) => {
      const { executors: all } = await (await connect(options)).status();
      printResult(options, { executors: all }, executorLines(all));
    });
}

function executorLines(executors: Status['executors']): string[] {
  if (executors.length === 0) return ['no executor is connected'];
  const leases = ({ draining, trouble }: Status['executors'][number]) =>
    trouble !== null ? 'stopped' : draining ? 'nothing more' : 'yes';
  return [
    ...table([
      ['NAME', 'VERSION', 'ISOLATION', 'NETWORK', 'LEASES', 'SEEN'],
      ...executors.map((executor) => [
        ...[executor.name, executor.version || 'unknown', executor.tiers.join(',') || 'none'],
        ...[networkOf(executor), leases(executor), minuteOf(executor.lastSeenAt)],
      ]),
    ]),
    ...executors.flatMap(({ name, trouble }) =>
      trouble === null
        ? []
        : [
            `${name} leases nothing, because jobs failed there for a reason of the machine: ${trouble}`,
            '  Run `fumehood doctor` on that machine. The executor leases again when its canary boots.',
          ],
    ),
  ];
}

/** Says whether an executor can give jobs a network, and hold them to less than all of it. */
function networkOf({ network }: Status['executors'][number]): string {
  if (!network) return 'unknown';
  if (!network.includes('none')) return 'always';
  return network.includes('public') ? 'yes' : 'no';
}
