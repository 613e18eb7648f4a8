import type { Command } from 'commander';
import {
  type CodeOptions,
  type CodePlace,
  locationLines,
  placeCommand,
  placeQuery,
  printAnswer,
} from '../../code/answers.ts';
import { connect } from '../../cli/context.ts';

/** Adds `fumehood code def`. */
export function addCodeDef(code: Command): void {
  placeCommand(code, 'def', 'show where the symbol at a place is defined').action(
    async (repository: string, place: CodePlace, options: CodeOptions) => {
      const { code: client } = await connect(options);
      const found = await client.definition(placeQuery(repository, place, options));
      const lines = locationLines(found, found.locations);
      printAnswer(options, found, lines, 'no symbol is there, or no index that answers defines it');
    },
  );
}
