import { queueNameSchema } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { weight } from '../../cli/options.ts';

/** Adds `fumehood shares set`. */
export function addSharesSet(shares: Command): void {
  shares
    .command('set')
    .description('set the weight of a tenant’s jobs in a queue; the default is 1')
    .argument('<queue>', queueNameSchema.options.join(', '))
    .argument('<tenant>', 'name of the tenant')
    .argument('<weight>', 'from 0.001 to 1000', weight)
    .action(async (queue: string, tenant: string, value: number, options: ClientOptions) => {
      await (await connect(options)).setShare(queueNameSchema.parse(queue), tenant, value);
    });
}
