import type { Rollout } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import { jsonOption } from '../../../cli/options.ts';
import { printResult } from '../../../cli/print.ts';
import { minuteOf, table } from '../../../cli/table.ts';

/** Adds `fumehood batches rollout show`. */
export function addBatchesRolloutShow(rollout: Command): void {
  rollout
    .command('show')
    .description('show when and how fast changesets are changed on code hosts')
    .addOption(jsonOption())
    .action(async (options: ClientOptions) => {
      const stored = await (await connect(options)).batches.rollout();
      printResult(options, stored, rolloutLines(stored));
    });
}

function rolloutLines({ windows, setBy, setAt }: Rollout): string[] {
  const rows = (windows ?? []).map(({ rate, days, start, end }) => [
    String(rate),
    days.join(', ') || 'all days',
    start === undefined ? 'all day' : `${start}-${end} UTC`,
  ]);
  return [
    ...(windows === null ? ['no limit'] : table([['RATE', 'DAYS', 'TIME'], ...rows])),
    `set by ${setBy} at ${minuteOf(setAt)}`,
  ];
}
