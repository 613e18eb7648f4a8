import type { CeilingOf } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import { jsonOption } from '../../../cli/options.ts';
import { printDone } from '../../../cli/print.ts';
import { jobsOf, queueOption, tenantOption } from './set.ts';

/** Adds `fumehood network ceilings remove`. */
export function addCeilingsRemove(ceilings: Command): void {
  ceilings
    .command('remove')
    .description('remove a ceiling; it is the one that was set with the same options')
    .addOption(queueOption())
    .option(...tenantOption)
    .addOption(jsonOption())
    .action(async (options: ClientOptions & CeilingOf) => {
      const { queue, tenant } = options;
      const of = { ...(queue && { queue }), ...(tenant !== undefined && { tenant }) };
      await (await connect(options)).ceilings.remove(of);
      printDone(options, { removed: of }, `removed the ceiling of the ${jobsOf(of)}`);
    });
}
