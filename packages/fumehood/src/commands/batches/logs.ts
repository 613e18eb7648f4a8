import { factsOf } from '@fumehood/base';
import type { Client } from '@fumehood/client';
import type { WorkspaceDetail } from '@fumehood/protocol';
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
    // A step that has not succeeded has no result: the log of the job has what it wrote.
    if (state === 'failed' || state === 'processing') await printStep(client, workspace, step);
  }
}

/** Prints what a step of the job of a workspace has written so far, unless the job is of another user. */
async function printStep(client: Client, { jobId }: WorkspaceDetail, step: number): Promise<void> {
  if (jobId === null) return;
  const { watchJob } = await import('@fumehood/client');
  const watcher: Parameters<typeof watchJob>[2] = {
    async onOutput({ key }, stream, bytes) {
      if (key === `step.docker.step.${step}`) await writeOutput(stream, bytes);
    },
  };
  await watchJob(client, jobId, watcher, { follow: false }).catch((error: unknown) => {
    if (factsOf(error).code !== 'job_not_found') throw error;
    note('  what it wrote is for the user alone who sent the batch spec');
  });
}
