import { jobRefused } from '../errors.ts';

/** Directories of a commit, each with its `/` at the end; none: the whole commit. */
export type SparseDirectories = readonly string[];

/** A directory and all below it, as upstream asks for the workspace of a batch spec: no other pattern is understood. */
const pattern = /^\/?((?:[A-Za-z0-9_@+,=.-](?:[A-Za-z0-9 _@+,=.-]*[A-Za-z0-9_@+,=.-])?\/)+)\*$/;

/** The directories that are meant by patterns of a sparse checkout. Errors: `job_refused` for other patterns. */
export function sparseDirectories(patterns: readonly string[] | null): SparseDirectories {
  return (patterns ?? []).map((text) => {
    const directory = pattern.exec(text)?.[1];
    if (directory === undefined)
      throw jobRefused(
        `it wants the part ${JSON.stringify(text.slice(0, 200))} of the repository`,
        'This executor understands directories alone, as `path/*`. Let the job have the whole repository.',
      );
    return directory;
  });
}

export function isCheckedOut(path: string, directories: SparseDirectories): boolean {
  return directories.length === 0 || directories.some((directory) => path.startsWith(directory));
}
