import type { EgressPolicy, SetIndexSettings } from '@fumehood/protocol';
import { type Command, Option } from 'commander';
import { brokerNames, egressPolicy, integer } from './options.ts';

/** What the index jobs of a repository get, as options. */
export interface IndexJobOptions {
  readonly cpus?: number;
  readonly memory?: number;
  readonly scratch?: number;
  readonly timeout?: number;
  readonly network?: EgressPolicy;
  readonly broker?: string[];
}

/** What jobs get without an option or a setting, in the words of the help. */
interface Defaults {
  readonly network: string;
  readonly broker: string;
}

/** Adds the options of index jobs, which mean what those of `fumehood run` do. */
export function addIndexJobOptions(
  command: Command,
  defaults: Defaults = { network: 'public', broker: 'all that are for them' },
): Command {
  return command
    .option('--cpus <n>', 'number of CPUs of a job', integer(1, 64))
    .option('--memory <MiB>', 'size of the memory', integer(128, 2 ** 20))
    .option('--scratch <MiB>', 'size of the writable disk', integer(64, 2 ** 20))
    .option('--timeout <seconds>', 'ask a job to end after this time', integer(1, 86_400))
    .addOption(
      new Option(
        '--network <policy>',
        `what the jobs may reach, as \`fumehood run\` has it; without a setting: ${defaults.network}`,
      ).argParser(egressPolicy),
    )
    .option(
      '--broker <name>',
      `let the jobs use this entry of the broker (repeatable); without a setting: ${defaults.broker}`,
      brokerNames,
    );
}

/** Returns the options that were given as the API has them. */
export function indexJobSettings({
  cpus,
  memory,
  scratch,
  timeout,
  network,
  broker,
}: IndexJobOptions): SetIndexSettings {
  return {
    ...(cpus !== undefined && { cpus }),
    ...(memory !== undefined && { memoryMiB: memory }),
    ...(scratch !== undefined && { scratchMiB: scratch }),
    ...(timeout !== undefined && { deadlineMs: timeout * 1_000 }),
    ...(network !== undefined && { network }),
    ...(broker !== undefined && { broker }),
  };
}
