import { codeHostNameSchema } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import { jsonOption, parsed } from '../../../cli/options.ts';
import { printDone } from '../../../cli/print.ts';

/** Adds `fumehood batches code-hosts remove`. */
export function addCodeHostsRemove(codeHosts: Command): void {
  codeHosts
    .command('remove')
    .description('let the instance only push branches to the repositories of a code host')
    .argument('<name>', 'name of the code host', parsed(codeHostNameSchema))
    .addOption(jsonOption())
    .action(async (name: string, options: ClientOptions) => {
      await (await connect(options)).codeHosts.remove(name);
      printDone(options, { removed: name }, `removed the code host ${name}`);
    });
}
