import type { Command } from 'commander';
import { type CodeOptions, noteAnswer, placeQuery, revisionOption } from '../../code/answers.ts';
import { connect } from '../../cli/context.ts';
import { codePlace, jsonOption, storedRepository } from '../../cli/options.ts';
import { note, printResult } from '../../cli/print.ts';

/** Adds `fumehood code hover`. */
export function addCodeHover(code: Command): void {
  code
    .command('hover')
    .description('show what is known of the symbol at a place')
    .argument('<repository>', 'name of the repository', storedRepository)
    .argument('<place>', 'PATH:LINE:COLUMN, counted from 1', codePlace)
    .addOption(revisionOption())

    .addOption(jsonOption())
    .action(async (repository: string, place: ReturnType<typeof codePlace>, options: CodeOptions) => {
      const { code: client } = await connect(options);
      const found = await client.hover({ ...placeQuery(repository, place, options) });
      if (found.hover === null) note('no symbol is there, or no index that answers describes it');
      noteAnswer(found);
      // Indented, so that no line of the repository's looks like one of ours.
      const lines = found.hover?.text.split('\n').map((line) => `  ${line}`.trimEnd()) ?? [];
      printResult(options, found, lines);
      if (found.hover === null) process.exitCode = 1;
    });
}
