import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption } from '../../cli/options.ts';
import { printResult } from '../../cli/print.ts';
import { table } from '../../cli/table.ts';

/** Adds `fumehood indexers list`. */
export function addIndexersList(indexers: Command): void {
  indexers
    .command('list')
    .description("list the container image of each language's indexer")
    .addOption(jsonOption())
    .action(async (options: ClientOptions) => {
      const all = await (await connect(options)).code.indexers();
      const rows = all.map(({ language, image, isDefault }) => [
        language,
        image,
        isDefault ? 'default' : 'chosen',
      ]);
      printResult(options, { indexers: all }, table([['LANGUAGE', 'IMAGE', ''], ...rows]));
    });
}
