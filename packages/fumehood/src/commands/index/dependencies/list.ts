import type { Dependencies } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../../cli/context.ts';
import { jsonOption, storedRepository } from '../../../cli/options.ts';
import { note, printResult } from '../../../cli/print.ts';
import { table } from '../../../cli/table.ts';

/** Adds `fumehood index dependencies list`. */
export function addIndexDependenciesList(dependencies: Command): void {
  dependencies
    .command('list')
    .description('list the packages that indexes name, which of them are indexed, and why one is not')
    .argument('[repository]', 'only those of this repository', storedRepository)
    .addOption(jsonOption())
    .action(async (repository: string | undefined, options: ClientOptions) => {
      const answer = await (await connect(options)).code.dependencies(repository);
      if (answer.indexing === null)
        note('dependencies are not indexed: an admin turns it on, `fumehood index dependencies on`');
      printResult(options, answer, dependencyLines(answer));
    });
}

function dependencyLines({ dependencies }: Dependencies): string[] {
  const rows = dependencies.map(({ manager, name, version, state, jobId, failure }) => [
    ...[manager, name, version, state, jobId === null ? '' : String(jobId), failure ?? ''],
  ]);
  return table([['MANAGER', 'PACKAGE', 'VERSION', 'STATE', 'JOB', 'WHY'], ...rows]);
}
