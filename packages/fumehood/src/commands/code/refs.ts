import type { Command } from 'commander';
import {
  afterOption,
  type CodePageOptions,
  limitOption,
  locationLines,
  noteAnswer,
  pageQuery,
  placeQuery,
  revisionOption,
} from '../../code/answers.ts';
import { connect } from '../../cli/context.ts';
import { codePlace, jsonOption, storedRepository } from '../../cli/options.ts';
import { note, printResult } from '../../cli/print.ts';

/** Adds `fumehood code refs`. */
export function addCodeRefs(code: Command): void {
  code
    .command('refs')
    .description('show where the symbol at a place is referred to')
    .argument('<repository>', 'name of the repository', storedRepository)
    .argument('<place>', 'PATH:LINE:COLUMN, counted from 1', codePlace)
    .addOption(revisionOption())
    .addOption(limitOption())
    .addOption(afterOption())
    .addOption(jsonOption())
    .action(async (repository: string, place: ReturnType<typeof codePlace>, options: CodePageOptions) => {
      const { code: client } = await connect(options);
      const found = await client.references({
        ...placeQuery(repository, place, options),
        ...pageQuery(options),
      });
      if (found.locations.length === 0) note('no symbol is there, or nothing refers to it');
      noteAnswer(found);
      printResult(options, found, locationLines(found, found.locations));
      if (found.locations.length === 0) process.exitCode = 1;
    });
}
