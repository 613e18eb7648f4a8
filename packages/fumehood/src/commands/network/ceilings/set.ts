import { type CeilingOf, type EgressPolicy, egressPolicyText, queueNameSchema } from '@fumehood/protocol';
import { type Command, Option } from 'commander';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import { egressPolicy, jsonOption } from '../../../cli/options.ts';
import { printDone } from '../../../cli/print.ts';

/** Makes the option `--queue` of a command for a ceiling. */
export const queueOption = () =>
  new Option('--queue <queue>', 'only the jobs of this queue').choices(queueNameSchema.options);
/** The option `--tenant` of a command for a ceiling, and what it means. */
export const tenantOption = ['--tenant <name>', 'only the jobs of this tenant'] as const;

/** Returns a text for the jobs that a ceiling is for. */
export function jobsOf({ queue, tenant }: CeilingOf): string {
  return `jobs${queue === undefined ? '' : ` of ${queue}`}${tenant === undefined ? '' : ` of the tenant ${tenant}`}`;
}

/** Adds `fumehood network ceilings set`. */
export function addCeilingsSet(ceilings: Command): void {
  ceilings
    .command('set')
    .description('set what jobs may reach at most, from their next lease on')
    .argument('<policy>', 'none, public, or allow:HOST[:PORT] with more hosts after commas', egressPolicy)
    .addOption(queueOption())
    .option(...tenantOption)
    .addOption(jsonOption())
    .action(async (policy: EgressPolicy, options: ClientOptions & CeilingOf) => {
      const { queue, tenant } = options;
      const of = { ...(queue && { queue }), ...(tenant !== undefined && { tenant }) };
      const made = await (await connect(options)).ceilings.set({ ...of, policy });
      printDone(options, made, `${jobsOf(of)} reach at most: ${egressPolicyText(made.policy)}`);
    });
}
