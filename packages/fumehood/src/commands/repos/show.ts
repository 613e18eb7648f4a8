import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption, storedRepository } from '../../cli/options.ts';
import { printResult } from '../../cli/print.ts';
import { minuteOf, table } from '../../cli/table.ts';
import { deliveryLine } from '../../repos/webhook-lines.ts';

/** Adds `fumehood repos show`. */
export function addReposShow(repos: Command): void {
  repos
    .command('show')
    .description('show a repository that the instance mirrors')
    .argument('<name>', 'name of the repository', storedRepository)
    .addOption(jsonOption())
    .action(async (name: string, options: ClientOptions) => {
      const found = await (await connect(options)).repositories.show(name);
      const { url, username, branch, commit, branches, tags, syncedAt, nextSyncAt, failure, webhook } = found;
      const lines = table([
        ['url', url ?? 'none: `fumehood repos sync` sends its history'],
        ...(username === null ? [] : [['user', username]]),
        ['branch', branch?.replace('refs/heads/', '') ?? 'none'],
        ['commit', commit ?? 'none'],
        ['branches', String(branches)],
        ['tags', String(tags)],
        ['synced', syncedAt === null ? 'never' : minuteOf(syncedAt)],
        ...(url === null ? [] : [['next sync', minuteOf(nextSyncAt)]]),
        ['webhook', webhook === null ? 'none' : `set ${minuteOf(webhook.setAt)}`],
        ...(webhook === null ? [] : [['last delivery', deliveryLine(webhook)]]),
        ...(failure === null ? [] : [['failure', failure]]),
      ]);
      printResult(options, found, lines);
    });
}
