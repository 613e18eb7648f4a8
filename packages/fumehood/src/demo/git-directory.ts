import { existsSync, readFileSync, realpathSync, type Stats, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

/** Where git would find a repository, and what it reads of it. All paths are real ones. */
export interface GitDirectory {
  /** The top of the working tree, or the bare repository itself. */
  readonly top: string;
  /** The value of `--git-dir`. */
  readonly directory: string;
  /** Everything that git reads: the git directory, and directories of objects and references that lie elsewhere. */
  readonly directories: readonly string[];
  /** What has to belong to the user who runs git. */
  readonly owned: readonly string[];
}

/** Longest file that names a directory, bytes. */
const pointerMax = 65_536;
/** Alternates that git follows: one repository may borrow objects of another. */
const alternatesMax = 100;

/**
 * Looks for the repository of a directory as git does: in it, then in its parents. Returns null when there is none. It reads only
 * paths out of the repository, and runs nothing. Errors: those of the file system, and git's for a `.git` file that leads nowhere.
 */
export function findGitDirectory(start: string): GitDirectory | null {
  for (let top = realpathSync(start); ; top = dirname(top)) {
    const dotGit = join(top, '.git');
    const stats = statOf(dotGit);
    if (stats?.isDirectory()) return describe(top, realpathSync(dotGit), [top, dotGit]);
    if (stats?.isFile()) {
      const [, named] = /^gitdir: ([^\n]+)\n*$/.exec(readPointer(dotGit)) ?? [];
      if (named === undefined) throw new Error(`invalid gitfile format: ${dotGit}`);
      const directory = resolve(top, named);
      return describe(top, existsSync(directory) ? realpathSync(directory) : directory, [
        top,
        dotGit,
        directory,
      ]);
    }
    if (['HEAD', 'objects', 'refs'].every((name) => existsSync(join(top, name))))
      return describe(top, top, [top]);
    if (top === dirname(top)) return null;
  }
}

/** A repository may name any directory: one that is none of git's is refused, or stays invisible. */
function describe(top: string, directory: string, owned: readonly string[]): GitDirectory {
  const common = join(directory, 'commondir');
  const shared = statOf(common)?.isFile() ? resolve(directory, readPointer(common).trimEnd()) : directory;
  if (!existsSync(join(directory, 'HEAD')) || !existsSync(join(shared, 'objects')))
    throw new Error(`not a git repository: ${directory}`);
  const directories = [directory, shared, ...objectDirectories(join(shared, 'objects'))];
  return { top, directory, directories: [...new Set(directories.map((one) => realpathSync(one)))], owned };
}

/** Returns a directory of objects, and those whose objects it borrows, as far as they have packs. */
function objectDirectories(first: string): string[] {
  const hasPacks = (directory: string) => existsSync(join(directory, 'pack'));
  const found = [first];
  for (const directory of found) {
    const alternates = join(directory, 'info', 'alternates');
    if (!statOf(alternates)?.isFile()) continue;
    const named = readPointer(alternates).split('\n');
    const others = named.filter((line) => line !== '' && !line.startsWith('#'));
    const real = others.map((line) => resolve(directory, line)).filter(hasPacks);
    found.push(...real.filter((one) => !found.includes(one)).slice(0, alternatesMax - found.length));
  }
  return found.filter(hasPacks);
}

/** Follows symbolic links. Returns undefined for a path that does not exist. */
function statOf(path: string): Stats | undefined {
  return statSync(path, { throwIfNoEntry: false });
}

function readPointer(file: string): string {
  const { size } = statSync(file);
  return size > pointerMax ? '' : readFileSync(file, 'utf8');
}
