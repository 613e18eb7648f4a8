import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { printResult } from '../../cli/print.ts';
import { minuteOf, table } from '../../cli/table.ts';

/** Adds `fumehood repos list`. */
export function addReposList(repos: Command): void {
  repos
    .command('list')
    .description('list the repositories that the instance mirrors')
    .addOption(jsonOption())
    .action(async (options: ClientOptions) => {
      const all = await (await connect(options)).repositories.list();
      const rows = all.map(({ name, commit, syncedAt, failure }) => [
        ...[
          name,
          commit?.slice(0, 12) ?? '-',
          syncedAt === null ? 'never' : minuteOf(syncedAt),
          failure ?? '',
        ],
      ]);
      printResult(
        options,
        { repositories: all },
        table([['REPOSITORY', 'COMMIT', 'SYNCED', 'FAILURE'], ...rows]),
      );
    });
}
