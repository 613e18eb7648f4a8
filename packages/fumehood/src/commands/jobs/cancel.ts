import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jobId, jsonOption } from '../../cli/options.ts';
import { printResult } from '../../cli/print.ts';

/** Adds `fumehood jobs cancel`. */
export function addJobsCancel(jobs: Command): void {
  jobs
    .command('cancel')
    .description('cancel a job; if it is running, its VM is killed')
    .argument('<id>', 'number of the job', jobId)
    .addOption(jsonOption())
    .action(async (id: number, options: ClientOptions) => {
      const client = await connect(options);
      await client.cancel(id);
      const job = await client.job(id);
      const line = job.state === 'canceled' ? `job ${id} is canceled` : `job ${id} is being stopped`;
      printResult(options, job, [line]);
    });
}
