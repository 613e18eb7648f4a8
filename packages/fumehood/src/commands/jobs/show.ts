import type { Attempt, JobRecord } from '@fumehood/protocol';
import type { Command } from 'commander';
import { connect } from '../../cli/context.ts';
import { jobId, jsonOption } from '../../cli/options.ts';
import { type PrintOptions, printResult } from '../../cli/print.ts';
import { jobState } from '../../cli/job-state.ts';
import { table } from '../../cli/table.ts';

/** Adds `fumehood jobs show`. */
export function addJobsShow(jobs: Command): void {
  jobs
    .command('show')
    .description('show a job and its attempts')
    .argument('<id>', 'number of the job', jobId)
    .addOption(jsonOption())
    .action(async (id: number, options: PrintOptions) => {
      const client = await connect();
      const [job, attempts] = await Promise.all([client.job(id), client.attempts(id)]);
      printResult(options, { ...job, attempts }, jobLines(job, attempts));
    });
}

/** Lays out what is known about a job, and a table of its attempts. */
export function jobLines(job: JobRecord, attempts: readonly Attempt[]): string[] {
  const { cpus, memoryMiB, scratchMiB } = job.resources;
  const facts: [string, string | null][] = [
    ['job', `${job.id} in ${job.queue}, of ${job.tenant}`],
    ['state', jobState(job)],
    ['failure', job.failure && `${job.failure.reason}: ${firstLine(job.failure.message)}`],
    ['accepts', job.accept.join(', ')],
    ['asks for', `${cpus} CPUs, ${memoryMiB} MiB of memory, ${scratchMiB} MiB of disk`],
    ['arch', job.arch],
    ['labels', job.labels.join(', ') || null],
    ['priority', job.priority === 0 ? null : String(job.priority)],
    ['queued', job.queuedAt],
    ['not before', job.processAfter],
    ['started', job.startedAt],
    ['finished', job.finishedAt],
    ['upload', job.uploadId === null ? null : String(job.uploadId)],
  ];
  const rows = attempts.map((one) => [
    String(one.attempt),
    one.outcome,
    one.executor,
    one.tier ?? '',
    one.exitCode === null ? '' : String(one.exitCode),
    one.startedAt,
    one.failure ? `${one.failure.reason}: ${firstLine(one.failure.message)}` : '',
  ]);
  return [
    ...table(facts.flatMap(([name, value]) => (value === null ? [] : [[name, value]]))),
    ...(rows.length === 0
      ? []
      : ['', ...table([['ATTEMPT', 'OUTCOME', 'EXECUTOR', 'TIER', 'EXIT', 'STARTED', 'FAILURE'], ...rows])]),
  ];
}

const firstLine = (text: string) => text.split('\n', 1)[0] ?? '';
