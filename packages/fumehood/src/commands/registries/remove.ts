import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption, registryHost } from '../../cli/options.ts';
import { printDone } from '../../cli/print.ts';

/** Adds `fumehood registries remove`. */
export function addRegistriesRemove(registries: Command): void {
  registries
    .command('remove')
    .description('remove the credential for a registry')
    .argument('<host>', 'HOST[:PORT] of the registry', registryHost)
    .addOption(jsonOption())
    .action(async (host: string, options: ClientOptions) => {
      await (await connect(options)).registries.remove(host);
      printDone(options, { removed: host }, `removed the credential for ${host}: no more jobs get it`);
    });
}
