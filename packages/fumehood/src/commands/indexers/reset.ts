import type { IndexLanguage } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { indexLanguage, jsonOption } from '../../cli/options.ts';
import { printDone } from '../../cli/print.ts';

/** Adds `fumehood indexers reset`. */
export function addIndexersReset(indexers: Command): void {
  indexers
    .command('reset')
    .description("let the default container image of a language's indexer count again")
    .argument('<language>', 'language', indexLanguage)
    .addOption(jsonOption())
    .action(async (language: IndexLanguage, options: ClientOptions) => {
      await (await connect(options)).code.resetIndexer(language);
      printDone(options, { language }, `${language} is indexed by its default image`);
    });
}
