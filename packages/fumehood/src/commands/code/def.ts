import type { CodeLocations } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { codePlace, jsonOption, revision, storedRepository } from '../../cli/options.ts';
import { note, printResult } from '../../cli/print.ts';

interface DefOptions extends ClientOptions {
  readonly revision?: string;
}

/** Adds `fumehood code def`. */
export function addCodeDef(code: Command): void {
  code
    .command('def')
    .description('show where the symbol at a place is defined')
    .argument('<repository>', 'name of the repository', storedRepository)
    .argument('<place>', 'PATH:LINE:COLUMN, counted from 1', codePlace)
    .option('--revision <revision>', 'branch, tag or commit; default: the default branch', revision)
    .addOption(jsonOption())
    .action(async (repository: string, place: ReturnType<typeof codePlace>, options: DefOptions) => {
      const { revision: asked } = options;
      const found = await (await connect(options)).code.definition({
        ...{ repository, ...place },
        ...(asked !== undefined && { revision: asked }),
      });
      if (found.locations.length === 0) note('no symbol is there, or no index of this commit defines it');
      printResult(options, found, locationLines(found));
      if (found.locations.length === 0) process.exitCode = 1;
    });
}

/** Lays out places as editors do, counted from 1, with their symbols. */
export function locationLines({ locations }: CodeLocations): string[] {
  return locations.map(
    ({ path, line, character, symbol }) => `${path}:${line + 1}:${character + 1}  ${symbol}`,
  );
}
