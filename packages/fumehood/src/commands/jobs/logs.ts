import type { Client } from '@fumehood/client';
import type { Command } from 'commander';
import { connect } from '../../cli/context.ts';
import { jobId } from '../../cli/options.ts';
import { note, writeOutput } from '../../cli/print.ts';

/** Adds `fumehood jobs logs`. */
export function addJobsLogs(jobs: Command): void {
  jobs
    .command('logs')
    .description('print the output of a job’s steps until the job ends')
    .argument('<id>', 'number of the job', jobId)
    .option(
      '--phases',
      'also print, on stderr, when each phase begins and ends, and the last lines of one that failed',
    )
    .action(async (id: number, options: { phases?: boolean }) => {
      await followLogs(await connect(), id, options.phases ?? false);
    });
}

/** Prints the output of every attempt's steps, from the first attempt on, until the job ends. */
async function followLogs(client: Client, id: number, phases: boolean): Promise<void> {
  const { droppedLine, failedPhaseLines, isStep } = await import('../../run/phase-ends.ts');
  const { watchJob } = await import('../../run/watch.ts');
  await watchJob(client, id, {
    onPhase(entry) {
      const { attempt, key, durationMs, exitCode } = entry;
      const dropped = droppedLine(entry);
      if (dropped !== null && (phases || isStep(entry))) note(dropped);
      if (!phases) return;
      const event = durationMs === null ? 'began' : `ended with ${exitCode} after ${durationMs} ms`;
      note(`attempt ${attempt}: ${key} ${event}`);
    },
    onFailedPhase(failed) {
      if (phases && !isStep(failed)) for (const line of failedPhaseLines(failed)) note(line);
    },
    async onOutput(entry, stream, bytes) {
      if (isStep(entry)) await writeOutput(stream, bytes);
    },
  });
}
