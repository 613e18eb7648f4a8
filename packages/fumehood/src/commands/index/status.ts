import type { IndexStatus } from '@fumehood/protocol';
import type { Command } from 'commander';
import { type ClientOptions, connect } from '../../cli/context.ts';
import { jsonOption, storedRepository } from '../../cli/options.ts';
import { printResult } from '../../cli/print.ts';
import { ageOf, minuteOf, table } from '../../cli/table.ts';

/** Adds `fumehood index status`. */
export function addIndexStatus(index: Command): void {
  index
    .command('status')
    .description('show the indexes of a repository, and which of its commits were not indexed and why')
    .argument('<repository>', 'name of the repository', storedRepository)
    .addOption(jsonOption())
    .action(async (repository: string, options: ClientOptions) => {
      const status = await (await connect(options)).code.status(repository);
      printResult(options, status, statusLines(status, Date.now()));
    });
}

/** Lays out the indexes, the commits with their jobs, and what to do. `now`: milliseconds since 1970. */
export function statusLines(status: IndexStatus, now: number): string[] {
  const { commits, indexes } = status;
  const parts = [
    indexes.length === 0 ? [] : indexLines(status, now),
    commits.length === 0 ? [] : commitLines(status),
    hintLines(status),
  ];
  return parts
    .filter((lines) => lines.length > 0)
    .flatMap((lines, at) => (at === 0 ? lines : ['', ...lines]));
}

function indexLines({ indexes, tip }: IndexStatus, now: number): string[] {
  const rows = indexes.map(({ id, commit, root, indexer, indexerVersion, behind, uploadedAt, ...counts }) => [
    String(id),
    shortened(commit, tip),
    behind === null ? '?' : behind >= 1_000 ? '1000 or more' : String(behind),
    ageOf(uploadedAt, now),
    place(indexerVersion === '' ? indexer : `${indexer} ${indexerVersion}`, root),
    ...[counts.documents, counts.occurrences, counts.symbols].map(String),
    counts.uploadedBy ?? (counts.jobId === null ? '-' : `job ${counts.jobId}`),
  ]);
  const head = ['COMMIT', 'BEHIND', 'AGE', 'INDEXER', 'DOCUMENTS', 'OCCURRENCES', 'SYMBOLS', 'FROM'];
  return table([['INDEX', ...head], ...rows]);
}

function commitLines({ commits, tip }: IndexStatus): string[] {
  const rows = commits.flatMap(({ commit, plannedAt, policy, source, failure, notes, jobs }) => {
    const head = [shortened(commit, tip), minuteOf(plannedAt), policy ?? 'on demand'];
    if (failure !== null) return [[...head, '', '', failure]];
    if (jobs.length === 0) return [[...head, '', '', ['no jobs', source ?? '', ...notes].join(': ')]];
    return jobs.map(({ id, state, root, indexer, documents, failure: why }) => [
      ...[...head, String(id), place(indexer, root)],
      documents !== null
        ? `${state}, ${documents} documents`
        : why !== null && why !== state
          ? `${state} (${why})`
          : state === 'completed'
            ? 'completed, and its index was replaced or removed'
            : state,
    ]);
  });
  return table([['COMMIT', 'DECIDED', 'BY', 'JOB', 'INDEXER', 'STATE'], ...rows]);
}

/** Says why something was not indexed, and where to look. */
function hintLines({ repository, commits, indexes, policies, tip }: IndexStatus): string[] {
  const isDecided = commits.some(({ commit }) => commit === tip);
  const isIndexed = indexes.some(({ commit }) => commit === tip);
  const jobs = commits.flatMap((one) => one.jobs);
  return [
    ...(tip === null ? [`the instance has no commit of it yet: \`fumehood repos show ${repository}\``] : []),
    ...(tip === null || isDecided || isIndexed
      ? []
      : [
          policies.length === 0
            ? `the tip ${tip.slice(0, 12)} is not indexed, and no policy names the repository: \`fumehood index ${repository}\` does it now, \`fumehood index-policies set\` always`
            : `the tip ${tip.slice(0, 12)} is not indexed: the policies ${policies.join(', ')} have not taken it up; \`fumehood index ${repository}\` does it now`,
        ]),
    ...(jobs.length === 0
      ? []
      : ['`fumehood jobs logs JOB` shows the output of a job, `fumehood jobs why JOB` why it waits']),
  ];
}

const place = (indexer: string, root: string) => `${indexer} in ${root === '' ? '.' : root}`;
const shortened = (commit: string, tip: string | null) =>
  `${commit.slice(0, 12)}${commit === tip ? ' (tip)' : ''}`;
