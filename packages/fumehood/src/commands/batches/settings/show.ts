import type { BatchSettings } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import { jsonOption } from '../../../cli/options.ts';
import { printResult } from '../../../cli/print.ts';
import { minuteOf } from '../../../cli/table.ts';

/** Adds `fumehood batches settings show`. */
export function addBatchesSettingsShow(settings: Command): void {
  settings
    .command('show')
    .description('show what the jobs of batch changes get where their batch spec was sent without an option')
    .addOption(jsonOption())
    .action(async (options: ClientOptions) => {
      const stored = await (await connect(options)).batches.settings();
      printResult(options, stored, settingsLines(stored));
    });
}

function settingsLines({ options, helperImage, setBy, setAt }: BatchSettings): string[] {
  if (setBy === null) return ['nobody has set anything: the jobs get what other jobs get, and no network'];
  const lines = Object.entries(options).map(([name, value]) => `${name}: ${JSON.stringify(value)}`);
  if (helperImage !== null) lines.push(`image of the helper: ${helperImage}`);
  return [...lines, `set by ${setBy} at ${minuteOf(setAt)}`];
}
