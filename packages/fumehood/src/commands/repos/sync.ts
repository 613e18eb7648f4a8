import type { Client } from '@fumehood/client';
import type { RepositoryRecord } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption, storedRepository } from '../../cli/options.ts';
import { printDone } from '../../cli/print.ts';
import { usage } from '../../errors.ts';
import { openHistory } from '../../repos/local-history.ts';
import { sendHistory } from '../../repos/send-history.ts';
import { untilSynced } from '../../repos/until-synced.ts';

/** Adds `fumehood repos sync`. */
export function addReposSync(repos: Command): void {
  repos
    .command('sync')
    .description('fetch what is new in a repository now, or send what is new in a directory')
    .argument('<name>', 'name of the repository', storedRepository)
    .argument('[path]', 'directory of a repository without a URL; default: this one')
    .addOption(jsonOption())
    .action(async (name: string, path: string | undefined, options: ClientOptions) => {
      const client = await connect(options);
      const before = await client.repositories.show(name);
      if (before.url !== null && path !== undefined)
        throw usage(
          `${name} is mirrored from its URL, not from a directory`,
          `Leave the path out: \`fumehood repos sync ${name}\`.`,
        );
      const now =
        before.url === null
          ? await sendHistory(client, name, await openHistory(path ?? '.'), 'new')
          : await syncMirror(client, before);
      printDone(options, now, `${name} is at ${now.commit?.slice(0, 12) ?? 'no commit'}`);
    });
}

async function syncMirror(client: Client, before: RepositoryRecord): Promise<RepositoryRecord> {
  await client.repositories.sync(before.name);
  return await untilSynced(client, before);
}
