import { type JobPage, jobStateSchema, type ListJobs, queueNameSchema } from '@fumehood/protocol';
import { type Command, Option } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { integer, jobId, jsonOption } from '../../cli/options.ts';
import { printResult } from '../../cli/print.ts';
import { jobState } from '../../cli/job-state.ts';
import { table } from '../../cli/table.ts';

/** Adds `fumehood jobs list`. */
export function addJobsList(jobs: Command): void {
  jobs
    .command('list')
    .description('list jobs, newest first')
    .addOption(new Option('--state <state>', 'only jobs in this state').choices(jobStateSchema.options))
    .addOption(new Option('--queue <queue>', 'only jobs of this queue').choices(queueNameSchema.options))
    .option('--tenant <tenant>', 'only jobs of this tenant')
    .option('--before <id>', 'only jobs older than this one', jobId)
    .option('--limit <n>', 'at most this many jobs', integer(1, 200), 50)
    .addOption(jsonOption())
    .action(async (options: ListJobs & ClientOptions) => {
      const { state, queue, tenant, before, limit } = options;
      const page = await (await connect(options)).jobs({ state, queue, tenant, before, limit });
      printResult(options, page, pageLines(page));
    });
}

/** Lays out a page of jobs as a table, with the option that continues it. */
export function pageLines({ jobs, next }: JobPage): string[] {
  if (jobs.length === 0) return ['no jobs'];
  const rows = jobs.map((job) => [
    String(job.id),
    job.queue,
    jobState(job),
    job.tenant,
    String(job.attempt),
    job.queuedAt,
    job.failure?.reason ?? '',
    job.image.slice(0, 'sha256:'.length + 12),
    job.command.replace(/\s+/g, ' ').slice(0, 40),
  ]);
  const head = ['JOB', 'QUEUE', 'STATE', 'TENANT', 'ATTEMPT', 'QUEUED', 'FAILURE', 'IMAGE', 'COMMAND'];
  const lines = table([head, ...rows]);
  return next === null ? lines : [...lines, `more: --before ${next}`];
}
