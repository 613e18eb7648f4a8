import type { Command } from 'commander';
import type { SpecOptions } from '../../batches/execute.ts';
import { batchId } from '../../cli/batch-options.ts';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { note, printResult } from '../../cli/print.ts';
import { addSpecOptions } from '../../cli/spec-options.ts';

interface ExecuteOptions extends ClientOptions, SpecOptions {
  readonly detach?: boolean;
}

/** Adds `fumehood batches execute`. */
export function addBatchesExecute(batches: Command): void {
  addSpecOptions(batches.command('execute'))
    .description('run the steps of a batch spec in every workspace, and print its id')
    .argument('[spec]', 'id of a batch spec that was sent before', batchId)
    .option('-d, --detach', 'do not wait for the end')
    .addOption(jsonOption())
    .action(execute);
}

async function execute(id: string | undefined, options: ExecuteOptions): Promise<void> {
  const { executeFile, follow } = await import('../../batches/execute.ts');
  const { specNotCompleted, specNotNamed } = await import('../../batches/errors.ts');
  if (id === undefined && options.file === undefined) throw specNotNamed();
  const client = await connect(options);
  const made =
    id === undefined
      ? await executeFile(client, options.file ?? '-', options)
      : await client.batches.execute(id, options.cache ? {} : { noCache: true });
  if (options.detach) {
    printResult(options, made, [made.id]);
    note(`\`fumehood batches status --follow ${made.id}\` follows the execution`);
    return;
  }
  const last = await follow(client, made.id);
  if (last === null) return;
  printResult(options, last, [last.id]);
  if (last.state !== 'completed') throw specNotCompleted(last);
  note(`\`fumehood batches preview ${last.id}\` shows what would be pushed`);
}
