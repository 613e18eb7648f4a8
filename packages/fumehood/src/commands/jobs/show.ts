import { type Client, type FailedPhase, failedPhaseLines, keptBytes } from '@fumehood/client';
import { type Attempt, egressPolicyText, hasEnded, type JobRecord } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jobId, jsonOption } from '../../cli/options.ts';
import { printResult } from '../../cli/print.ts';
import { jobState } from '../../cli/job-state.ts';
import { table } from '../../cli/table.ts';

/** Adds `fumehood jobs show`. */
export function addJobsShow(jobs: Command): void {
  jobs
    .command('show')
    .description('show a job, its attempts, and the last lines of what failed')
    .argument('<id>', 'number of the job', jobId)
    .addOption(jsonOption())
    .action(async (id: number, options: ClientOptions) => {
      const client = await connect(options);
      const [job, attempts] = await Promise.all([client.job(id), client.attempts(id)]);
      const failedPhases = job.failure && hasEnded(job.state) ? await failedPhasesOf(client, id) : [];
      printResult(options, { ...job, attempts, failedPhases }, jobLines(job, attempts, failedPhases));
    });
}

/** Reads the ends of a job's log entries, and returns what failed in each of its attempts. The job has ended. */
async function failedPhasesOf(client: Client, id: number): Promise<FailedPhase[]> {
  const { watchJob } = await import('@fumehood/client');
  const failedPhases: FailedPhase[] = [];
  const onFailedPhase = (failed: FailedPhase) => void failedPhases.push(failed);
  await watchJob(client, id, { onFailedPhase }, { follow: false, tail: keptBytes });
  return failedPhases;
}

/** Lays out what is known about a job, a table of its attempts, and the ends of the phases that failed. */
export function jobLines(
  job: JobRecord,
  attempts: readonly Attempt[],
  failedPhases: readonly FailedPhase[],
): string[] {
  const { cpus, memoryMiB, scratchMiB } = job.resources;
  const facts: [string, string | null][] = [
    ['job', `${job.id} in ${job.queue}, of ${job.tenant}`],
    ['state', jobState(job)],
    ['failure', job.failure && `${job.failure.reason}: ${firstLine(job.failure.message)}`],
    ['image', job.image],
    ['command', job.command.replace(/\s+/g, ' ') || null],
    ['secrets', job.secrets?.length ? `${job.secrets.join(', ')}: its command can read them` : null],
    ...networkFacts(job),
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
    ...failedPhases.flatMap((failed) => ['', ...failedPhaseLines(failed)]),
  ];
}

/** What a job may reach: what it asked for, and what the ceilings of the instance left of it. */
function networkFacts({ network }: JobRecord): [string, string | null][] {
  if (!network) return [];
  const { asked, applied, narrowedBy } = network;
  const ceilings = narrowedBy.map(
    ({ queue, tenant, policy }) =>
      `${[queue ?? [], tenant === null ? [] : `tenant ${tenant}`].flat().join(', ') || 'all'}: ${egressPolicyText(policy)}`,
  );
  return [
    ['network', egressPolicyText(asked)],
    ['narrowed to', applied && ceilings.length > 0 ? egressPolicyText(applied) : null],
    ['by ceilings', ceilings.join('; ') || null],
  ];
}

const firstLine = (text: string) => text.split('\n', 1)[0] ?? '';
