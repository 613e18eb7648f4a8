import type { Command } from 'commander';
import {
  type CodeOptions,
  locationLines,
  noteAnswer,
  placeQuery,
  revisionOption,
} from '../../code/answers.ts';
import { connect } from '../../cli/context.ts';
import { codePlace, jsonOption, storedRepository } from '../../cli/options.ts';
import { note, printResult } from '../../cli/print.ts';

/** Adds `fumehood code def`. */
export function addCodeDef(code: Command): void {
  code
    .command('def')
    .description('show where the symbol at a place is defined')
    .argument('<repository>', 'name of the repository', storedRepository)
    .argument('<place>', 'PATH:LINE:COLUMN, counted from 1', codePlace)
    .addOption(revisionOption())

    .addOption(jsonOption())
    .action(async (repository: string, place: ReturnType<typeof codePlace>, options: CodeOptions) => {
      const { code: client } = await connect(options);
      const found = await client.definition({ ...placeQuery(repository, place, options) });
      if (found.locations.length === 0) note('no symbol is there, or no index that answers defines it');
      noteAnswer(found);
      printResult(options, found, locationLines(found, found.locations));
      if (found.locations.length === 0) process.exitCode = 1;
    });
}
