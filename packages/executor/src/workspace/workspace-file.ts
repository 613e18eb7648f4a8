import { pathChecker, type TreeEntry } from '@fumehood/git';
import { jobRefused } from '../errors.ts';

/** A file that a job adds to its workspace, beside the repository. */
export interface WorkspaceFile {
  /** The path from the top of the workspace, with one character per byte (`latin1`), as in git. */
  readonly path: string;
  readonly content: Uint8Array;
  /** Seconds since 1970. */
  readonly mtime: number;
}

/**
 * Checks that no file of the job conflicts with a path of the commit. Upstream's executors would overwrite the commit's file, or
 * write through its symlink. Errors: `job_refused`.
 */
export function checkFilePaths(
  files: readonly WorkspaceFile[],
  tree: readonly Pick<TreeEntry, 'path'>[],
  directory: string,
): void {
  const top = directory === '' ? '' : `${directory}/`;
  const onTheWay = files.find(({ path }) => top.startsWith(`${path}/`));
  if (onTheWay) throw filesRefused(`${JSON.stringify(onTheWay.path)} is the directory of the repository`);
  const paths = [...tree.map(({ path }) => `${top}${path}`), ...files.map(({ path }) => path)];
  const check = pathChecker(filesRefused);
  for (const path of paths.sort((a, b) => (a < b ? -1 : 1))) check(path);
}

export function filesRefused(why: string): Error {
  return jobRefused(`of its files, ${why}`, 'Give the job other files, or none.');
}
