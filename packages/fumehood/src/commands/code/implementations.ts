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

/** Adds `fumehood code implementations`. */
export function addCodeImplementations(code: Command): void {
  pageCommand(code, 'implementations', 'show what implements the symbol at a place').action(
    async (repository: string, place: CodePlace, options: CodePageOptions) => {
      const { code: client } = await connect(options);
      const found = await client.implementations(pageQuery(repository, place, options));
      const lines = locationLines(found, found.locations);
      printAnswer(options, found, lines, 'no symbol is there, or nothing implements it');
    },
  );
}
