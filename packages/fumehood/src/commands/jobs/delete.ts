import type { Command } from 'commander';
import { connect } from '../../cli/context.ts';
import { jobId, jsonOption } from '../../cli/options.ts';
import { type PrintOptions, printResult } from '../../cli/print.ts';

/** Adds `fumehood jobs delete`. */
export function addJobsDelete(jobs: Command): void {
  jobs
    .command('delete')
    .description('delete a job that has ended, with its output')
    .argument('<id>', 'number of the job', jobId)
    .addOption(jsonOption())
    .action(async (id: number, options: PrintOptions) => {
      await (await connect()).deleteJob(id);
      printResult(options, { deleted: id }, [`job ${id} is deleted`]);
    });
}
