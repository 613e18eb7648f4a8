import { counted } from '@fumehood/base';
import type { Client } from '@fumehood/client';
import type { Indexing, JobRecord, Tier } from '@fumehood/protocol';
import { type Command, Option } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { addIndexJobOptions, type IndexJobOptions, indexJobSettings } from '../../cli/index-job-options.ts';
import { jsonOption, revision, storedRepository, tiers } from '../../cli/options.ts';
import { note, printResult } from '../../cli/print.ts';
import { table } from '../../cli/table.ts';

interface IndexOptions extends ClientOptions, IndexJobOptions {
  readonly revision?: string;
  readonly dryRun?: boolean;
  readonly force?: boolean;
  readonly wait?: boolean;
  readonly accept?: Tier[];
}

/** Adds `fumehood index run`, which is also `fumehood index`. */
export function addIndexRun(index: Command): void {
  const command = index
    .command('run', { isDefault: true })
    .description('have a commit of a repository indexed, for `fumehood code`')
    .argument('<repository>', 'name of the repository, see `fumehood repos list`', storedRepository)
    .option('--revision <revision>', 'branch, tag or commit; default: the default branch', revision)
    .option('--dry-run', 'show the jobs, and why each, and make none')
    .option('--force', 'index again what was indexed, or is about to be')
    .option('--wait', 'wait until the jobs have ended')
    .addOption(new Option('--accept <tier>', 'isolation that is good enough (repeatable)').argParser(tiers));
  addIndexJobOptions(command).addOption(jsonOption()).action(run);
}

async function run(repository: string, options: IndexOptions): Promise<void> {
  const { revision: asked, dryRun = false, force = false, accept, wait } = options;
  const client = await connect(options);
  const made = await client.code.index({
    ...{ repository, dryRun, force, ...indexJobSettings(options) },
    ...(asked !== undefined && { revision: asked }),
    ...(accept !== undefined && { accept }),
  });
  const failed = wait && !dryRun ? await untilEnded(client, made) : [];
  for (const { id, message } of failed) note(`job ${id} failed: ${message}`);
  note(...made.notes);
  printResult(options, { ...made, failed }, indexingLines(made, dryRun));
  if (failed.length > 0) process.exitCode = 1;
}

/** Waits until the jobs of an indexing have ended, and says of one that no executor can run why. Returns those that did not complete. */
async function untilEnded(client: Client, { jobs }: Indexing): Promise<{ id: number; message: string }[]> {
  const { watchJob } = await import('@fumehood/client');
  const failed: { id: number; message: string }[] = [];
  for (const id of new Set(jobs.flatMap(({ jobId }) => jobId ?? []))) {
    note(`waiting for job ${id}`);
    let isTold = false;
    const onJob = ({ waiting }: JobRecord) => {
      if (waiting === null || isTold) return;
      isTold = true;
      note(`job ${id} waits: ${waiting.message}`, `  ${waiting.remedy}`);
      note(`  To ask with other options, \`fumehood jobs cancel ${id}\` first.`);
    };
    const job = await watchJob(client, id, { onJob }, { tail: 0 });
    if (job.state !== 'completed') failed.push({ id, message: job.failure?.message ?? job.state });
  }
  return failed;
}

/** Lays out what an indexing consists of. */
export function indexingLines({ repository, commit, source, jobs }: Indexing, dryRun: boolean): string[] {
  const head = `${repository} at ${commit.slice(0, 12)}: ${counted(jobs.length, 'job')}, ${describe(source)}`;
  if (jobs.length === 0) return [head];
  const rows = jobs.map(({ root, indexer, reason, jobId, isEarlier }) => [
    jobId === null ? (dryRun ? 'new' : '-') : `${jobId}${isEarlier ? ' (earlier)' : ''}`,
    // Of an image that was sent to the instance the beginning of its digest.
    ...[root === '' ? '.' : root, indexer.replace(/^(sha256:.{12}).*/, '$1'), reason],
  ]);
  return [head, ...table([['JOB', 'DIRECTORY', 'INDEXER', 'WHY'], ...rows])];
}

function describe(source: string): string {
  if (source === 'inferred') return source;
  return `described by ${source === 'instance' ? 'the configuration on the instance' : source}`;
}
