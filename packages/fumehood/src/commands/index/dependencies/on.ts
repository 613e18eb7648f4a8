import { type EgressPolicy, egressPolicyText, type Tier } from '@fumehood/protocol';
import { type Command, Option } from 'commander';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import { brokerNames, egressPolicy, integer, jsonOption, tiers } from '../../../cli/options.ts';
import { printDone } from '../../../cli/print.ts';

interface OnOptions extends ClientOptions {
  readonly network?: EgressPolicy;
  readonly broker?: string[];
  readonly aDay?: number;
  readonly accept?: Tier[];
}

/** Adds `fumehood index dependencies on`. */
export function addIndexDependenciesOn(dependencies: Command): void {
  dependencies
    .command('on')
    .description(
      'have each package that indexes name indexed once, and again what failed; it is off by default',
    )
    .addOption(
      new Option(
        '--network <policy>',
        'what the jobs may reach, as `fumehood run` has it; default: public',
      ).argParser(egressPolicy),
    )
    .option(
      '--broker <name>',
      'let the jobs use this entry of the broker (repeatable); default: all that are for them',
      brokerNames,
    )
    .option('--a-day <n>', 'at most this many jobs in 24 hours; default: 200', integer(1, 10_000))
    .addOption(new Option('--accept <tier>', 'isolation that is good enough (repeatable)').argParser(tiers))
    .addOption(jsonOption())
    .action(async ({ network, broker, aDay, accept, ...options }: OnOptions) => {
      const indexing = await (await connect(options)).code.indexDependencies({
        ...(network !== undefined && { network }),
        ...(broker !== undefined && { broker }),
        ...(aDay !== undefined && { jobsADay: aDay }),
        ...(accept !== undefined && { accept }),
      });
      const policy = egressPolicyText(indexing.network);
      printDone(
        options,
        indexing,
        `dependencies are indexed, at most ${indexing.jobsADay} a day, under the policy ${policy}`,
      );
    });
}
