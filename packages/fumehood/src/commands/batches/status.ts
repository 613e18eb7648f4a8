import type { Command } from 'commander';
import { specLines } from '../../batches/lines.ts';
import { batchId } from '../../cli/batch-options.ts';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { printResult } from '../../cli/print.ts';

/** Adds `fumehood batches status`. */
export function addBatchesStatus(batches: Command): void {
  batches
    .command('status')
    .description('show the execution of a batch spec in each of its workspaces')
    .argument('<spec>', 'id of the batch spec', batchId)
    .option('-f, --follow', 'until it ends; ending this command does not end the execution')
    .addOption(jsonOption())
    .action(async (id: string, options: ClientOptions & { follow?: boolean }) => {
      const { follow } = await import('../../batches/execute.ts');
      const { allWorkspaces } = await import('@fumehood/client');
      const client = await connect(options);
      const spec = options.follow ? await follow(client, id) : await client.batches.spec(id);
      if (spec === null) return;
      const workspaces = await allWorkspaces(client, id);
      printResult(options, { ...spec, workspaceList: workspaces }, specLines(spec, workspaces));
    });
}
