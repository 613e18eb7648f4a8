import { byDepth } from './files.ts';
import type { IndexerImages, Recognizer } from './recognizer.ts';
import { configurationHints, otherRecognizers } from './recognizers/others.ts';
import { python } from './recognizers/python.ts';
import { typescript } from './recognizers/typescript.ts';
import type { PlannedJob } from './spec.ts';

const recognizers: readonly Recognizer[] = [typescript, python, ...otherRecognizers];

/** Bounds of an inference, as upstream documents them. */
export const inferenceLimits = {
  /** Jobs of a commit; of more, the last in rank are left out. */
  jobs: 100,
  /** Files whose contents are read; of more, those farthest from the root are not read. */
  contents: 100,
  /** Bytes of a file that is read. */
  contentBytes: 1_048_576,
} as const;

export interface Inference {
  readonly jobs: readonly PlannedJob[];
  /** What was left out, and what has to be configured by hand: sentences. */
  readonly notes: readonly string[];
}

/**
 * Infers the indexing jobs of a commit from the paths of its files, and from the contents of at most 100 of them. `read` gets those; a file that
 * is missing from its answer counts as unreadable. Nothing of the commit is run.
 */
export async function inferIndexJobs(
  paths: readonly string[],
  images: IndexerImages,
  read: (paths: readonly string[]) => Promise<ReadonlyMap<string, string>>,
): Promise<Inference> {
  const wanted = [...new Set(recognizers.flatMap((recognizer) => recognizer.contentPaths(paths)))].sort(
    byDepth,
  );
  const contents = await read(wanted.slice(0, inferenceLimits.contents));
  const files = { paths, contents };
  const all = recognizers.flatMap((recognizer) => recognizer.jobs(files, images[recognizer.language]));
  const jobs = ranked(all);
  const notes = configurationHints(paths);
  const unread = wanted.length - inferenceLimits.contents;
  if (unread > 0) notes.push(`${unread} files were not read: at most ${inferenceLimits.contents} are`);
  const dropped = jobs.length - inferenceLimits.jobs;
  if (dropped > 0) notes.push(`${dropped} jobs were left out: a commit has at most ${inferenceLimits.jobs}`);
  return { jobs: jobs.slice(0, inferenceLimits.jobs), notes };
}

/** Orders jobs by rank: the indexer with most jobs first, then its name, then the roots nearer to the root of the repository. */
function ranked(jobs: readonly PlannedJob[]): PlannedJob[] {
  const counts = new Map<string, number>();
  for (const { spec } of jobs) counts.set(spec.indexer, (counts.get(spec.indexer) ?? 0) + 1);
  const count = ({ spec }: PlannedJob) => counts.get(spec.indexer) ?? 0;
  return jobs.toSorted(
    (one, other) =>
      count(other) - count(one) ||
      (one.spec.indexer < other.spec.indexer ? -1 : one.spec.indexer > other.spec.indexer ? 1 : 0) ||
      byDepth(one.spec.root, other.spec.root),
  );
}
