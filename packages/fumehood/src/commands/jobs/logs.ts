import type { Client } from '@fumehood/client';
import type { LogEntry } from '@fumehood/protocol';
import type { Command } from 'commander';
import { connect } from '../../cli/context.ts';
import { jobId } from '../../cli/options.ts';
import { note, writeOutput } from '../../cli/print.ts';
import type { TargetOptions } from '../../target/target.ts';

interface LogsOptions extends TargetOptions {
  readonly follow?: boolean;
  readonly phases?: boolean;
}

/** Adds `fumehood jobs logs`. */
export function addJobsLogs(jobs: Command): void {
  jobs
    .command('logs')
    .description('print the output of a job’s steps so far')
    .argument('<id>', 'number of the job', jobId)
    .option('-f, --follow', 'go on until the job ends; ending this command does not end the job')
    .option('--phases', 'also print, on stderr, when each phase begins and ends, and what it says')
    .action(async (id: number, options: LogsOptions) => {
      await printLogs(await connect(options), id, options);
    });
}

/** Longest part of a line of a phase that is kept until its end comes, characters. */
const lineMax = 10_000;

/** Returns a function that cuts the output of phases into lines. The beginning of a line waits for its end. */
function lineCutter(): (entry: LogEntry, bytes: Buffer) => string[] {
  const begun = new Map<string, string>();
  return ({ attempt, entry }, bytes) => {
    const name = `${attempt}.${entry}`;
    const lines = `${begun.get(name) ?? ''}${bytes.toString()}`.split('\n');
    begun.set(name, lines.pop()?.slice(-lineMax) ?? '');
    return lines;
  };
}

/** Prints the output of every attempt's steps, from the first attempt on. */
async function printLogs(client: Client, id: number, { follow, phases }: LogsOptions): Promise<void> {
  const { droppedLine, isStep, watchJob } = await import('@fumehood/client');
  const linesIn = lineCutter();
  const watcher: Parameters<typeof watchJob>[2] = {
    onPhase(entry) {
      const { attempt, key, durationMs, exitCode } = entry;
      const dropped = droppedLine(entry);
      if (dropped !== null && (phases || isStep(entry))) note(dropped);
      if (!phases) return;
      const event = durationMs === null ? 'began' : `ended with ${exitCode} after ${durationMs} ms`;
      note(`attempt ${attempt}: ${key} ${event}`);
    },
    async onOutput(entry, stream, bytes) {
      if (isStep(entry)) await writeOutput(stream, bytes);
      else if (phases) for (const line of linesIn(entry, bytes)) note(`  ${entry.key}: ${line}`);
    },
  };
  await watchJob(client, id, watcher, { follow: follow ?? false });
}
