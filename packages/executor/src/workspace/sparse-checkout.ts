import { jobRefused } from '../errors.ts';

/** Directories of a commit, each with a `/` at its end. An empty list stands for the whole commit. */
export type SparseDirectories = readonly string[];

/** Matches `path/*`, a directory with everything below it: upstream sends this for the workspace of a batch spec. */
const pattern = /^\/?((?:[A-Za-z0-9_@+,=.-](?:[A-Za-z0-9 _@+,=.-]*[A-Za-z0-9_@+,=.-])?\/)+)\*$/;

/** Most directories of a sparse checkout: each path of the commit is compared with each of them. */
const directoriesMax = 1_000;

/** Returns the directories that the patterns of a sparse checkout name. Errors: `job_refused` for every other pattern. */
export function sparseDirectories(patterns: readonly string[] | null): SparseDirectories {
  if (patterns && patterns.length > directoriesMax)
    throw jobRefused(
      `it wants ${patterns.length} parts of the repository`,
      `Give the job the whole repository, or at most ${directoriesMax} directories.`,
    );
  return (patterns ?? []).map((text) => {
    const directory = pattern.exec(text)?.[1];
    if (directory === undefined)
      throw jobRefused(
        `it wants the part ${JSON.stringify(text.slice(0, 200))} of the repository`,
        'Give the job the whole repository, or name directories, as `path/*`: this executor supports no other patterns.',
      );
    return directory;
  });
}

/** Returns whether a path is part of the sparse checkout. */
export function isCheckedOut(path: string, directories: SparseDirectories): boolean {
  return directories.length === 0 || directories.some((directory) => path.startsWith(directory));
}
