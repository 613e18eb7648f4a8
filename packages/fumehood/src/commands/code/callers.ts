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

/** Adds `fumehood code callers`. */
export function addCodeCallers(code: Command): void {
  code
    .command('callers')
    .description('show in which functions the symbol at a place is referred to')
    .argument('<repository>', 'name of the repository', storedRepository)
    .argument('<place>', 'PATH:LINE:COLUMN, counted from 1', codePlace)
    .addOption(revisionOption())
    .addOption(limitOption())
    .addOption(afterOption())
    .addOption(jsonOption())
    .action(async (repository: string, place: ReturnType<typeof codePlace>, options: CodePageOptions) => {
      const { code: client } = await connect(options);
      const found = await client.callers({
        ...placeQuery(repository, place, options),
        ...pageQuery(options),
      });
      if (found.callers.length === 0) note('no symbol is there, or nothing refers to it');
      noteAnswer(found);
      const lines = found.callers.flatMap(({ at, caller }) => [
        ...locationLines(found, [at]),
        ...(caller === null ? [] : locationLines(found, [caller]).map((line) => `  in ${line}`)),
      ]);
      printResult(options, found, lines);
      if (found.callers.length === 0) process.exitCode = 1;
    });
}
