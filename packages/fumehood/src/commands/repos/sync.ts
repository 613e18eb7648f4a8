import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption, storedRepository } from '../../cli/options.ts';
import { printDone } from '../../cli/print.ts';
import { untilSynced } from '../../repos/until-synced.ts';

/** Adds `fumehood repos sync`. */
export function addReposSync(repos: Command): void {
  repos
    .command('sync')
    .description('fetch what is new in a repository now')
    .argument('<name>', 'name of the repository', storedRepository)
    .addOption(jsonOption())
    .action(async (name: string, options: ClientOptions) => {
      const client = await connect(options);
      const before = await client.repositories.show(name);
      await client.repositories.sync(name);
      const now = await untilSynced(client, before);
      printDone(options, now, `${name} is at ${now.commit?.slice(0, 12) ?? 'no commit'}`);
    });
}
