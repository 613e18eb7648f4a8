import type { Why } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jobId, jsonOption } from '../../cli/options.ts';
import { printResult } from '../../cli/print.ts';

/** Adds `fumehood jobs why`. */
export function addJobsWhy(jobs: Command): void {
  jobs
    .command('why')
    .description('explain why a job is not running yet, and when it is expected to start')
    .argument('<id>', 'number of the job', jobId)
    .addOption(jsonOption())
    .action(async (id: number, options: ClientOptions) => {
      const why = await (await connect(options)).why(id);
      printResult(options, why, whyLines(id, why));
    });
}

/** Lays out why a job waits, what to do about it, and when the job is expected to start. */
export function whyLines(id: number, why: Why): string[] {
  if (!why.waiting) return [`job ${id} does not wait: it is ${why.state}`];
  return [
    `job ${id} waits: ${why.waiting.message}`,
    `  ${why.waiting.remedy}`,
    ...(why.expectedStartAt === null ? [] : [`  it is expected to start at ${why.expectedStartAt}`]),
  ];
}
