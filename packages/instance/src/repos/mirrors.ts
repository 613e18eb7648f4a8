import { randomUUID } from 'node:crypto';
import { chmod, mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type AllowedCommand, removeTree, type Spawn } from '@fumehood/base';
import { type Mirror, makeMirror, mirrorCommands, openMirror, readTreeUse } from '@fumehood/git';

/** The directory of the mirrors, below that of the repositories. */
export const mirrorsName = 'mirrors';

/** The mirrors of repositories, by the name of their directory: their place. */
export interface Mirrors {
  /** Makes an empty mirror in a new place. */
  make(): Promise<{ readonly place: string; readonly mirror: Mirror }>;
  /** Opens a mirror. Throws if there is none. */
  open(place: string): Promise<Mirror>;
  /** Removes a mirror. A job that is being given a commit of it fails, and is tried again. */
  remove(place: string): Promise<void>;
  /** Removes the mirrors that are at none of these places, and that nobody has written to for an hour. */
  removeOthers(places: ReadonlySet<string>, now: number): Promise<void>;
}

/** How long a mirror that no repository has may be one that is being made, milliseconds. */
const makingMs = 3_600_000;

const refObject = /[0-9a-f]{40}/;
/** A revision that `git rev-parse` takes: it begins with no hyphen. */
export const revisionPattern = /[A-Za-z0-9_./][A-Za-z0-9_./@~^-]{0,254}/;
/** The uses of `Mirror.git`, which the helper allows. */
export const revParse = ['rev-parse', '--verify', '--quiet'];
export const listPaths = ['ls-tree', '-rz', '--name-only', '--full-tree'];
export const catFiles = ['cat-file', '--batch'];
export const checkFiles = ['cat-file', '--batch-check'];
/** How many commits of a history are looked at. */
export const ancestorsMax = 1_000;
export const ancestors = ['rev-list', `--max-count=${ancestorsMax}`];
/** How many commits of one history are missing in another one: at most as many as are looked at. */
export const missing = ['rev-list', '--count', `--max-count=${ancestorsMax}`];
/** Commits with their parents, each after all that come from it, from those on stdin. */
export const historyOf = ['rev-list', '--topo-order', '--parents', '--stdin'];
/** The lines that have a word, which is text and no pattern, in the text files of a commit. The names of files end with a zero byte. */
export const grepWord = ['grep', '-n', '-w', '-F', '-I', '-z', '--no-color', '-e'];
/** The paths of the text files of a commit that have a text, which may be a POSIX extended regular expression. */
export const grepFilesFor = {
  text: ['grep', '-l', '-I', '-z', '-F'],
  pattern: ['grep', '-l', '-I', '-z', '-E'],
};
export const anyCase = '-i';
/** What a file is to have: git takes what follows `-e` as it is. */
const contentPattern = /[^\0]{1,1000}/;
/** An identifier, which begins with no hyphen. */
const wordPattern = /[\p{L}\p{N}_$]{1,128}/u;
/** The difference of two files, which no file of a repository changes the form of. */
export const diffBlobs = ['diff', '-U0', '--text', '--no-color', '--no-ext-diff', '--no-textconv'];

/** Returns what the helper has to allow for the mirrors below this directory. */
export const mirrorStoreCommands = (directory: string): AllowedCommand[] =>
  mirrorCommands(directory, [
    [...revParse, new RegExp(`${revisionPattern.source}\\^\\{commit\\}`)],
    [...listPaths, refObject],
    readTreeUse,
    catFiles,
    checkFiles,
    [...ancestors, refObject],
    [...missing, refObject, /\^[0-9a-f]{40}/],
    historyOf,
    [...grepWord, wordPattern, refObject, '--'],
    ...Object.values(grepFilesFor).flatMap((args) => [
      [...args, '-e', contentPattern, refObject, '--'],
      [...args, anyCase, '-e', contentPattern, refObject, '--'],
    ]),
    [...diffBlobs, refObject, refObject, '--'],
  ]);

/** Opens the mirrors below the directory of repositories, which replicas may share. */
export async function openMirrors(repositories: string, spawn: Spawn): Promise<Mirrors> {
  const directory = join(repositories, mirrorsName);
  await mkdir(directory, { recursive: true });
  await chmod(directory, 0o710); // git runs as another user with this process's group, and traverses it
  const pathOf = (place: string) => join(directory, place);
  return {
    async make() {
      const place = `${randomUUID()}.git`;
      return { place, mirror: await makeMirror(spawn, pathOf(place)) };
    },
    open: (place) => openMirror(spawn, pathOf(place)),
    async remove(place) {
      await removeTree(spawn, pathOf(place));
    },
    async removeOthers(places, now) {
      for (const name of await readdir(directory)) {
        if (places.has(name)) continue;
        const found = await stat(pathOf(name)).catch(() => null);
        if (!found || now - found.mtimeMs < makingMs) continue;
        await removeTree(spawn, pathOf(name));
      }
    },
  };
}
