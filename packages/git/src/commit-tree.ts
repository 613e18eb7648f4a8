import { setImmediate } from 'node:timers/promises';
import { repositoryInvalid } from './errors.ts';
import { type Repository, readTreeArguments } from './repository.ts';

/** A path of a commit, with one character per byte (`latin1`), because git does not define the encoding of names. */
export interface TreeEntry {
  readonly path: string;
  readonly type: 'file' | 'executable' | 'symlink' | 'submodule';
  readonly object: string;
  /** Bytes of the blob; 0 for a submodule. */
  readonly size: number;
}

/** A commit whose files git lists. */
type Listed = Pick<Repository, 'commit' | 'git'>;

/** The limits of a commit. */
const limits = {
  files: 500_000,
  /** Of all files together. */
  bytes: 16 * 2 ** 30,
  /** Of the paths of all files and directories together, bytes: a small pack can hold a tree with gigabytes of them. */
  pathBytes: 64 * 2 ** 20,
  /** Of one path: names, bytes, and bytes of each name. */
  depth: 200,
  path: 4_000,
  name: 255,
  /** Files of a commit whose trees are out of order: they are sorted in memory. */
  unsorted: 50_000,
} as const;
/** Bytes of the longest record of `git ls-tree`: a path, and less than 200 bytes before it. */
const recordMax = limits.path + 200;

/**
 * Returns every file of the commit in git's order. The paths are checked, so that nobody who unpacks the commit writes outside of a
 * directory or into git's own. Errors: `repository_invalid`.
 */
export async function readTree(repository: Listed): Promise<TreeEntry[]> {
  const entries: TreeEntry[] = [];
  const check = pathChecker();
  let isSorted = true;
  let last = '';
  for await (const entry of listTree(repository)) {
    isSorted &&= entry.path >= last;
    if (isSorted) check(entry.path);
    else if (entries.length >= limits.unsorted)
      throw repositoryInvalid(`its trees are out of order and have more than ${limits.unsorted} files`);
    last = entry.path;
    entries.push(entry);
  }
  if (isSorted) return entries;
  // Git takes a tree that is out of order. An index that is out of order it does not take.
  entries.sort((one, other) => (one.path < other.path ? -1 : Number(one.path > other.path)));
  const checkSorted = pathChecker();
  for (const { path } of entries) checkSorted(path);
  return entries;
}

/** Checks the files of the commit as `readTree` does, without keeping them. Errors: `repository_invalid`. */
export async function checkTree(repository: Listed): Promise<void> {
  const check = pathChecker();
  let last = '';
  for await (const { path } of listTree(repository)) {
    if (path < last) return void (await readTree(repository));
    check(path);
    last = path;
  }
}

/** Yields every file of the commit in the order of its trees, without a check of its path. Errors: `repository_invalid`. */
async function* listTree(repository: Listed): AsyncGenerator<TreeEntry, void> {
  const process = await repository.git('git ls-tree', [...readTreeArguments, repository.commit]);
  process.stdin.end();
  process.stderr.resume();
  let files = 0;
  let bytes = 0;
  let pathBytes = 0;
  try {
    for await (const record of splitRecords(process.stdout)) {
      const entry = parseRecord(record);
      bytes += entry.size;
      pathBytes += entry.path.length;
      files += 1;
      if (files > limits.files) throw repositoryInvalid(`it has more than ${limits.files} files`);
      if (bytes > limits.bytes) throw repositoryInvalid(`its files have more than ${limits.bytes} bytes`);
      if (pathBytes > limits.pathBytes)
        throw repositoryInvalid(`its paths have more than ${limits.pathBytes} bytes`);
      yield entry;
    }
    const { code } = await process.exited;
    if (code !== 0) throw repositoryInvalid('the commit has no tree that git can list');
  } finally {
    process.kill();
  }
}

/** Splits a stream into records that end with a NUL. Other work of the process has its turn after each piece of the stream. */
async function* splitRecords(stream: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of stream) {
    const parts = (rest + Buffer.from(chunk).toString('latin1')).split('\0');
    rest = parts.pop() ?? '';
    if (rest.length > recordMax) throw repositoryInvalid('a path is too long');
    yield* parts;
    await setImmediate(); // the instance lists trees in the process that answers requests
  }
}

/** Parses a record of `git ls-tree -zl`. Errors: `repository_invalid`. */
export function parseRecord(record: string): TreeEntry {
  const match = /^(\d{6}) (\w+) ([0-9a-f]{40}) +(-|\d+)\t([^]+)$/.exec(record);
  if (!match) throw repositoryInvalid('git lists an entry in an unknown form');
  const [, mode, kind, object, size, path] = match as unknown as [
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  return { path, object, type: typeOf(mode, kind), size: size === '-' ? 0 : Number(size) };
}

function typeOf(mode: string, kind: string): TreeEntry['type'] {
  if (kind === 'commit' && mode === '160000') return 'submodule';
  if (kind === 'blob' && mode === '120000') return 'symlink';
  // Old trees have other permission bits. Git uses only the owner's permission to execute.
  if (kind === 'blob' && mode.startsWith('100'))
    return Number.parseInt(mode, 8) & 0o100 ? 'executable' : 'file';
  throw repositoryInvalid(`an entry has the mode ${mode}`);
}

/**
 * Returns a function that checks sorted paths one after the other: that each is a path below the root, outside of `.git`, that none
 * of them conflicts with another, and that all of them and their directories together have at most `pathBytes`. The time for a path
 * is in proportion to its length. `refuse` makes the error.
 */
export function pathChecker(
  refuse: (why: string) => Error = repositoryInvalid,
  pathBytes: number = limits.pathBytes,
): (path: string) => void {
  let last = '';
  let left = pathBytes;
  /** The lengths of the paths that the last path begins with, and of the last path itself, in ascending order. */
  const beginnings: number[] = [];
  return (path) => {
    const shown = () => JSON.stringify(path.slice(0, 200));
    const parts = path.length > limits.path ? [] : path.split('/');
    if (parts.length === 0 || parts.length > limits.depth)
      throw refuse(`the path ${shown()} is too long or too deep`);
    for (const part of parts) {
      if (part === '' || part === '.' || part === '..' || part.length > limits.name || part.includes('\0'))
        throw refuse(`the path ${shown()} is not a path below the root`);
      if (part.toLowerCase() === '.git') throw refuse(`the path ${shown()} is reserved for git`);
    }
    // Latin1 strings compare like their bytes, and git sorts by those.
    if (path <= last) throw refuse(`the path ${shown()} is a duplicate or out of order`);
    const common = commonLength(path, last);
    while ((beginnings.at(-1) ?? 0) > common) beginnings.pop();
    // Of the paths that this one begins with, only the longest can be one of its directories: the last path begins with all of them.
    if (beginnings.at(-1) === common && path[common] === '/')
      throw refuse(`${JSON.stringify(path.slice(0, common))} is a file and a directory`);
    beginnings.push(path.length);
    left -= path.length;
    for (let end = path.indexOf('/', common); end >= 0; end = path.indexOf('/', end + 1)) left -= end;
    if (left < 0) throw refuse(`its paths have more than ${pathBytes} bytes`);
    last = path;
  };
}

function commonLength(one: string, other: string): number {
  let at = 0;
  while (at < one.length && one[at] === other[at]) at += 1;
  return at;
}
