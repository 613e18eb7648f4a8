import type { BatchChangeRecord } from '@fumehood/protocol';
import { type Command, Option } from 'commander';
import { countsOf } from '../../batches/lines.ts';
import { namespaceOption } from '../../cli/batch-options.ts';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { printResult } from '../../cli/print.ts';
import { minuteOf, table } from '../../cli/table.ts';

interface ListOptions extends ClientOptions {
  readonly namespace?: string;
  readonly state?: BatchChangeRecord['state'];
}

/** Adds `fumehood batches list`. */
export function addBatchesList(batches: Command): void {
  batches
    .command('list')
    .description('list the batch changes of you and your organisations, newest first; an admin sees all')
    .addOption(namespaceOption('only those of this user or org/NAME'))
    .addOption(new Option('--state <state>', 'only those in this state').choices(['draft', 'open', 'closed']))
    .addOption(jsonOption())
    .action(async ({ namespace, state, ...options }: ListOptions) => {
      const all = await (await connect(options)).batches.list({
        ...(namespace !== undefined && { namespace }),
        ...(state !== undefined && { state }),
        limit: 200,
      });
      const rows = all.map((one) => [
        `${one.namespace}/${one.name}`,
        one.state,
        minuteOf(one.updatedAt),
        countsOf(one.changesets),
      ]);
      printResult(
        options,
        { batchChanges: all },
        table([['BATCH CHANGE', 'STATE', 'CHANGED', 'CHANGESETS'], ...rows]),
      );
    });
}
