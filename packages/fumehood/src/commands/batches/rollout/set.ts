import { readFile } from 'node:fs/promises';
import { rolloutWindowSchema } from '@fumehood/protocol';
import type { Command } from 'commander';
import * as z from 'zod';
import { rolloutUnreadable } from '../../../batches/errors.ts';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import { jsonOption } from '../../../cli/options.ts';
import { printDone } from '../../../cli/print.ts';

const windowsSchema = z.array(rolloutWindowSchema);

/** Adds `fumehood batches rollout set`. */
export function addBatchesRolloutSet(rollout: Command): void {
  rollout
    .command('set')
    .description('set when and how fast changesets are changed on code hosts')
    .argument('<file>', 'a JSON list of windows, such as [{"rate": "10/hour", "days": ["monday"]}]')
    .addOption(jsonOption())
    .action(async (file: string, options: ClientOptions) => {
      const windows = await readWindows(file);
      const stored = await (await connect(options)).batches.setRollout({ windows });
      printDone(options, stored, 'changesets are changed in these windows from now on');
    });
}

/** Errors: `rollout_unreadable`. */
async function readWindows(file: string): Promise<z.output<typeof windowsSchema>> {
  try {
    return windowsSchema.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message;
    throw rolloutUnreadable(file, why);
  }
}
