import type { Client } from '@fumehood/client';
import type { Command } from 'commander';
import { placeOf, progressOf } from '../../batches/lines.ts';
import { batchId } from '../../cli/batch-options.ts';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { note, printJson, writeOutput } from '../../cli/print.ts';

/** Adds `fumehood batches logs`. */
export function addBatchesLogs(batches: Command): void {
  batches
    .command('logs')
    .description('print what the steps of a batch spec have written, workspace by workspace')
    .argument('<spec>', 'id of the batch spec', batchId)
    .argument('[workspace]', 'id of one of its workspaces; default: all', batchId)
    .addOption(jsonOption())
    .addHelpText('after', '\n`fumehood jobs logs --follow JOB` follows the job of one workspace.')
    .action(async (spec: string, workspace: string | undefined, options: ClientOptions) => {
      const { allWorkspaces } = await import('@fumehood/client');
      const client = await connect(options);
      const ids =
        workspace === undefined ? (await allWorkspaces(client, spec)).map(({ id }) => id) : [workspace];
      if (options.json)
        printJson({ workspaces: await Promise.all(ids.map((id) => client.batches.workspace(spec, id))) });
      else for (const id of ids) await printWorkspace(client, spec, id);
    });
}

async function printWorkspace(client: Client, spec: string, id: string): Promise<void> {
  const workspace = await client.batches.workspace(spec, id);
  note(`${placeOf(workspace)}: ${progressOf(workspace)}`);
  for (const { step, state, stdout, stderr } of workspace.steps) {
    note(`  step ${step + 1}: ${state}`);
    await writeOutput('stdout', Buffer.from(stdout));
    await writeOutput('stderr', Buffer.from(stderr));
  }
}
