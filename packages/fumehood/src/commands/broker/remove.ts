import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { brokerName, jsonOption } from '../../cli/options.ts';
import { printDone } from '../../cli/print.ts';

/** Adds `fumehood broker remove`. */
export function addBrokerRemove(broker: Command): void {
  broker
    .command('remove')
    .description('remove an entry of the broker')
    .argument('<name>', 'name of the entry', brokerName)
    .addOption(jsonOption())
    .action(async (name: string, options: ClientOptions) => {
      await (await connect(options)).broker.remove(name);
      printDone(options, { removed: name }, `removed the entry ${name}: no more jobs get it`);
    });
}
