import type { Command } from 'commander';
import {
  type CodePageOptions,
  type CodePlace,
  locationLines,
  pageCommand,
  pageQuery,
  printAnswer,
} from '../../code/answers.ts';
import { connect } from '../../cli/context.ts';

/** Adds `fumehood code callers`. */
export function addCodeCallers(code: Command): void {
  pageCommand(code, 'callers', 'show in which functions the symbol at a place is referred to').action(
    async (repository: string, place: CodePlace, options: CodePageOptions) => {
      const { code: client } = await connect(options);
      const found = await client.callers(pageQuery(repository, place, options));
      const lines = found.callers.flatMap(({ at, caller }) => [
        ...locationLines(found, [at]),
        ...(caller === null ? [] : locationLines(found, [caller]).map((line) => `  in ${line}`)),
      ]);
      printAnswer(options, found, lines, 'no symbol is there, or nothing refers to it');
    },
  );
}
