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

/** Adds `fumehood code refs`. */
export function addCodeRefs(code: Command): void {
  pageCommand(code, 'refs', 'show where the symbol at a place is referred to').action(
    async (repository: string, place: CodePlace, options: CodePageOptions) => {
      const { code: client } = await connect(options);
      const found = await client.references(pageQuery(repository, place, options));
      const lines = locationLines(found, found.locations);
      printAnswer(options, found, lines, 'no symbol is there, or nothing refers to it');
    },
  );
}
