import type { Command } from 'commander';
import {
  type CodeOptions,
  type CodePlace,
  placeCommand,
  placeQuery,
  printAnswer,
} from '../../code/answers.ts';
import { connect } from '../../cli/context.ts';

/** Adds `fumehood code hover`. */
export function addCodeHover(code: Command): void {
  placeCommand(code, 'hover', 'show what is known of the symbol at a place').action(
    async (repository: string, place: CodePlace, options: CodeOptions) => {
      const { code: client } = await connect(options);
      const found = await client.hover(placeQuery(repository, place, options));
      // Indented, so that no line of the repository's looks like one of ours.
      const lines = found.hover?.text.split('\n').map((line) => `  ${line}`.trimEnd()) ?? [];
      printAnswer(options, found, lines, 'no symbol is there, or no index that answers describes it');
    },
  );
}
