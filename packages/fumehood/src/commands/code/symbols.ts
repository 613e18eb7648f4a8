import type { Command } from 'commander';
import { type CodeOptions, printAnswer, revisionOption } from '../../code/answers.ts';
import { connect } from '../../cli/context.ts';
import { jsonOption, storedRepository } from '../../cli/options.ts';

/** Adds `fumehood code symbols`. */
export function addCodeSymbols(code: Command): void {
  code
    .command('symbols')
    .description('show what a file defines')
    .argument('<repository>', 'name of the repository', storedRepository)
    .argument('<path>', 'path of the file, from the root of the repository')
    .addOption(revisionOption())
    .addOption(jsonOption())
    .action(async (repository: string, path: string, options: CodeOptions) => {
      const { revision } = options;
      const { code: client } = await connect(options);
      const found = await client.symbols({ repository, path, ...(revision !== undefined && { revision }) });
      const lines = found.symbols.map(
        ({ line, character, name, kind }) => `${path}:${line + 1}:${character + 1}  ${kind ?? ''} ${name}`,
      );
      printAnswer(
        options,
        found,
        lines,
        'the index has no such file, or the file defines nothing that other files can know',
      );
    });
}
