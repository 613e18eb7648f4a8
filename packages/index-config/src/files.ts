/** What the inference knows of a commit: the paths of its files, and the contents of those that a recognizer asked for. */
export interface CommitFiles {
  readonly paths: readonly string[];
  /** Contents of the files that were read, by path. A file that is too large, or no text, is missing. */
  readonly contents: ReadonlyMap<string, string>;
}

/** Returns the directory of a path; the empty text for the root. */
export const directoryOf = (path: string) => path.slice(0, Math.max(0, path.lastIndexOf('/')));

/** Returns the last part of a path. */
export const nameOf = (path: string) => path.slice(path.lastIndexOf('/') + 1);

/** Returns a path below a directory. */
export const below = (directory: string, name: string) => (directory === '' ? name : `${directory}/${name}`);

/** Returns a directory and all above it, the root first. */
export function ancestorsOf(directory: string): string[] {
  if (directory === '') return [''];
  const parts = directory.split('/');
  return ['', ...parts.map((_, index) => parts.slice(0, index + 1).join('/'))];
}

/** Directories whose projects are no part of a product. */
const excludedParts = ['example', 'examples', 'integration', 'test', 'testdata', 'tests'];

/** Returns whether no directory of a path has one of these names, or one of those that no recognizer looks into. */
export function isIncluded(path: string, others: readonly string[] = []): boolean {
  const parts = path.split('/').slice(0, -1);
  return !parts.some((part) => excludedParts.includes(part) || others.includes(part));
}

/** Orders paths: those nearer to the root first, then by name. */
export function byDepth(one: string, other: string): number {
  const depth = (path: string) => (path === '' ? 0 : path.split('/').length);
  return depth(one) - depth(other) || (one < other ? -1 : one > other ? 1 : 0);
}
