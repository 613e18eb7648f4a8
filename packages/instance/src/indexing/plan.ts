import {
  configBytesMax,
  inferenceLimits,
  inferIndexJobs,
  type PlannedJob,
  parseIndexConfig,
} from '@fumehood/index-config';
import type { Mirror } from '@fumehood/git';
import type { Db } from '../db/connect.ts';
import { readFiles, readPaths } from '../repos/commit-files.ts';
import { findIndexConfig } from './configs.ts';
import { readIndexers } from './indexers.ts';

/** Files in the root of a repository that describe its indexing jobs; the first that is there counts. The second one is upstream's. */
const configFiles = ['fumehood.yaml', 'sourcegraph.yaml'];

/** The indexing jobs of a commit, and where they come from. */
export interface IndexPlan {
  /** `instance`, the path of a file of the commit, or `inferred`. */
  readonly source: string;
  readonly jobs: readonly PlannedJob[];
  readonly notes: readonly string[];
}

/**
 * Decides which jobs index a commit: those of the configuration that the instance has for the repository, else of one in the commit, or else
 * what its files show. Only git objects are read; nothing of the commit is run. Errors: `index_config_invalid`, and then nothing is inferred; `git_failed`.
 */
export async function planIndexing(
  db: Db,
  mirror: Mirror,
  { repository, commit }: { readonly repository: string; readonly commit: string },
): Promise<IndexPlan> {
  const stored = await findIndexConfig(db, repository);
  if (stored !== null) {
    const specs = parseIndexConfig(stored.text, 'configuration on the instance');
    const jobs = specs.map((spec) => ({ spec, reason: 'the configuration on the instance describes it' }));
    return { source: 'instance', jobs, notes: [] };
  }
  const paths = await readPaths(mirror, commit);
  const known = new Set(paths);
  const file = configFiles.find((name) => known.has(name));
  if (file !== undefined) {
    const text = (await readFiles(mirror, commit, [file], configBytesMax)).get(file);
    if (text === undefined)
      return { source: file, jobs: [], notes: [`${file} is no text of at most ${configBytesMax} bytes`] };
    const jobs = parseIndexConfig(text, file).map((spec) => ({ spec, reason: `${file} describes it` }));
    return { source: file, jobs, notes: [] };
  }
  const read = (wanted: readonly string[]) => readFiles(mirror, commit, wanted, inferenceLimits.contentBytes);
  return { source: 'inferred', ...(await inferIndexJobs(paths, await readIndexers(db), read)) };
}
