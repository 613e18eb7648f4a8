import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jobId, jsonOption } from '../../cli/options.ts';
import { printResult } from '../../cli/print.ts';

/** Adds `fumehood jobs delete`. */
export function addJobsDelete(jobs: Command): void {
  jobs
    .command('delete')
    .description('delete a job that has ended, with its output')
    .argument('<id>', 'number of the job', jobId)
    .addOption(jsonOption())
    .action(async (id: number, options: ClientOptions) => {
      await (await connect(options)).deleteJob(id);
      printResult(options, { deleted: id }, [`job ${id} is deleted`]);
    });
}
