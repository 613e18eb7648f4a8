import type { IndexStatus } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption, storedRepository } from '../../cli/options.ts';
import { printResult } from '../../cli/print.ts';
import { minuteOf, table } from '../../cli/table.ts';

/** Adds `fumehood index status`. */
export function addIndexStatus(index: Command): void {
  index
    .command('status')
    .description('show which commits of a repository were indexed, and why one was not')
    .argument('<repository>', 'name of the repository', storedRepository)
    .addOption(jsonOption())
    .action(async (repository: string, options: ClientOptions) => {
      const client = await connect(options);
      const [status, { commit }] = await Promise.all([
        client.code.status(repository),
        client.repositories.show(repository),
      ]);
      printResult(options, { ...status, tip: commit }, statusLines(status, commit));
    });
}

/** Lays out the commits, each with its jobs. `tip`: the commit of the default branch. */
export function statusLines({ commits }: IndexStatus, tip: string | null): string[] {
  const isKnown = commits.some(({ commit }) => commit === tip);
  const rows = commits.flatMap(({ commit, plannedAt, source, failure, jobs }) => {
    const head = [`${commit.slice(0, 12)}${commit === tip ? ' (tip)' : ''}`, minuteOf(plannedAt)];
    if (failure !== null) return [[...head, '', '', failure]];
    if (jobs.length === 0) return [[...head, '', '', `no jobs: ${source}`]];
    return jobs.map(({ id, state, root, indexer, documents }) => [
      ...head,
      ...[String(id), `${indexer} in ${root === '' ? '.' : root}`],
      documents === null ? state : `${state}, ${documents} documents`,
    ]);
  });
  return [
    ...table([['COMMIT', 'DECIDED', 'JOB', 'INDEXER', 'STATE'], ...rows]),
    ...(tip === null || isKnown
      ? []
      : [`the tip ${tip.slice(0, 12)} is not indexed: \`fumehood index\` does it now`]),
  ];
}
