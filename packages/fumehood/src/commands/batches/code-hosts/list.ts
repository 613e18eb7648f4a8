import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import { jsonOption } from '../../../cli/options.ts';
import { printResult } from '../../../cli/print.ts';
import { minuteOf, table } from '../../../cli/table.ts';

/** Adds `fumehood batches code-hosts list`. */
export function addCodeHostsList(codeHosts: Command): void {
  codeHosts
    .command('list')
    .description('list the code hosts on which the instance opens changesets')
    .addOption(jsonOption())
    .action(async (options: ClientOptions) => {
      const all = await (await connect(options)).codeHosts.list();
      const rows = all.map(({ name, kind, url, hasWebhookSecret, limitedUntil, setBy }) => [
        name,
        kind,
        url,
        hasWebhookSecret ? 'yes' : 'no',
        limitedUntil === null ? '-' : `until ${minuteOf(limitedUntil)}`,
        setBy,
      ]);
      printResult(
        options,
        { codeHosts: all },
        table([['NAME', 'KIND', 'URL', 'WEBHOOK', 'PAUSED', 'SET BY'], ...rows]),
      );
    });
}
