import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { printResult } from '../../cli/print.ts';
import { table } from '../../cli/table.ts';

/** Adds `fumehood index-policies list`. */
export function addIndexPoliciesList(policies: Command): void {
  policies
    .command('list')
    .description('list which commits are indexed whenever a repository was synced')
    .addOption(jsonOption())
    .action(async (options: ClientOptions) => {
      const all = await (await connect(options)).code.policies();
      const rows = all.map(({ name, tenant, repositories, kind, pattern, maxAgeSeconds, pauseSeconds }) => [
        ...[name, tenant, repositories],
        pattern === null ? (kind === 'branch' ? 'default branch' : 'all tags') : `${kind} ${pattern}`,
        maxAgeSeconds ? `${Math.floor(maxAgeSeconds / 86_400)} d` : 'any',
        `${pauseSeconds} s`,
      ]);
      const head = ['POLICY', 'USER', 'REPOSITORIES', 'COMMITS', 'AGE', 'PAUSE'];
      printResult(options, { policies: all }, table([head, ...rows]));
    });
}
