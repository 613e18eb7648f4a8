import type { Client } from '@fumehood/client';
import { jobStateSchema, type ListJobs, queueNameSchema } from '@fumehood/protocol';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { State } from '../state/state.ts';

/** What these commands need of the program that they are part of. */
export interface JobsDeps {
  state(): State;
  printJson(value: unknown): void;
}

/** `fumehood jobs …` and `fumehood shares …`: what is queued, why it waits, how it ended. */
export function addJobs(program: Command, deps: JobsDeps): void {
  const json = () => new Option('--json', 'print one JSON object on stdout');
  const print = (options: { json?: boolean }, value: unknown, lines: () => readonly string[]) => {
    if (options.json) deps.printJson(value);
    else process.stdout.write(`${lines().join('\n')}\n`);
  };
  const client = async (): Promise<Client> => {
    const { runningClient } = await import('../up/running.ts');
    return await runningClient(deps.state());
  };

  const jobs = program.command('jobs').description('what is queued, why it waits, how it ended');
  jobs
    .command('list')
    .description('jobs from the newest on')
    .addOption(new Option('--state <state>', 'only those in it').choices(jobStateSchema.options))
    .addOption(new Option('--queue <queue>', 'only those of it').choices(queueNameSchema.options))
    .option('--tenant <tenant>', 'only those of it')
    .option('--before <id>', 'only older ones', jobId)
    .option('--limit <n>', 'at most so many', Number, 50)
    .addOption(json())
    .action(async ({ json: asJson, ...filter }: ListJobs & { json?: boolean }) => {
      const page = await (await client()).jobs(filter);
      const { pageLines } = await import('./lines.ts');
      print({ ...(asJson && { json: asJson }) }, page, () => pageLines(page));
    });
  jobs
    .command('show')
    .description('a job and its attempts')
    .argument('<id>', 'its number', jobId)
    .addOption(json())
    .action(async (id: number, options: { json?: boolean }) => {
      const asked = await client();
      const [job, attempts] = await Promise.all([asked.job(id), asked.attempts(id)]);
      const { jobLines } = await import('./lines.ts');
      print(options, { ...job, attempts }, () => jobLines(job, attempts));
    });
  jobs
    .command('why')
    .description('why a job is not running yet, and when it may be')
    .argument('<id>', 'its number', jobId)
    .addOption(json())
    .action(async (id: number, options: { json?: boolean }) => {
      const why = await (await client()).why(id);
      const { whyLines } = await import('./lines.ts');
      print(options, why, () => whyLines(id, why));
    });
  jobs
    .command('logs')
    .description('what a job’s steps print, until it has ended')
    .argument('<id>', 'its number', jobId)
    .option('--phases', 'also when each phase began and ended, on stderr')
    .action(async (id: number, options: { phases?: boolean }) => {
      const { followLogs } = await import('./logs.ts');
      await followLogs(await client(), id, options.phases ?? false);
    });
  jobs
    .command('cancel')
    .description('end a job: at once while it waits, with its virtual machine while it runs')
    .argument('<id>', 'its number', jobId)
    .addOption(json())
    .action(async (id: number, options: { json?: boolean }) => {
      const asked = await client();
      await asked.cancel(id);
      const job = await asked.job(id);
      print(options, job, () => [
        job.state === 'canceled' ? `job ${id} is canceled` : `job ${id} is being stopped`,
      ]);
    });

  const shares = program.command('shares').description('what part of all leases each tenant gets');
  shares
    .command('list')
    .description('weights, and what waits and runs')
    .addOption(json())
    .action(async (options: { json?: boolean }) => {
      const all = await (await client()).shares();
      const { shareLines } = await import('./lines.ts');
      print(options, { shares: all }, () => shareLines(all));
    });
  shares
    .command('set')
    .description('give a tenant’s jobs in a queue another weight; 1 is what everybody has')
    .argument('<queue>', queueNameSchema.options.join(', '))
    .argument('<tenant>', 'whose jobs')
    .argument('<weight>', 'more than 0', weight)
    .action(async (queue: string, tenant: string, value: number) => {
      await (await client()).setShare(queueNameSchema.parse(queue), tenant, value);
    });
}

function jobId(text: string): number {
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new InvalidArgumentError('A job has a number, from 1.');
  return Number(text);
}

function weight(text: string): number {
  const value = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || value < 0.001 || value > 1000)
    throw new InvalidArgumentError('It is a number from 0.001 to 1000.');
  return value;
}
