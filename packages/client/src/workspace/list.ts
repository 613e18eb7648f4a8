import { lstat, readdir, readlink } from 'node:fs/promises';
import { directoryInvalid } from '../errors.ts';

/** What is sent of one path of a directory. Names are byte strings (`latin1`), because a file system does not define their encoding. */
export interface DirectoryEntry {
  readonly path: string;
  readonly type: 'file' | 'symlink' | 'directory';
  /** Bytes; 0 for everything but a file. */
  readonly size: number;
  readonly isExecutable: boolean;
  /** Milliseconds since 1970. */
  readonly mtimeMs: number;
  readonly inode: number;
  /** Target of a symbolic link. */
  readonly linkTarget?: string;
}

/** What a directory has. */
export interface Listing {
  /** Files, symbolic links and empty directories, sorted by the bytes of their paths. */
  readonly entries: readonly DirectoryEntry[];
  /** Paths that are left out because they are no files: sockets, devices and named pipes. */
  readonly skipped: readonly string[];
}

/** The limits of a workspace, as those of a commit. */
export const limits = {
  entries: 500_000,
  bytes: 16 * 2 ** 30,
  /** Of all paths together, bytes. */
  pathBytes: 64 * 2 ** 20,
  depth: 200,
  path: 4_000,
} as const;

/** Returns the path of an entry for the file system. */
export function placeOf(root: string, path: string): Buffer {
  return Buffer.concat([Buffer.from(`${root}/`), Buffer.from(path, 'latin1')]);
}

/**
 * Lists a directory without following any link. What git keeps for itself (`.git`) is left out. With `only`, it lists these paths
 * (`latin1`), and everything below those that are directories. Errors: `directory_invalid`.
 */
export async function listDirectory(root: string, only?: ReadonlySet<string>): Promise<Listing> {
  const entries: DirectoryEntry[] = [];
  const skipped: string[] = [];
  const ways = only && parentsOf(only);
  let bytes = 0;
  let pathBytes = 0;
  const add = (entry: DirectoryEntry) => {
    bytes += entry.size;
    pathBytes += entry.path.length;
    if (entry.path.length > limits.path || entry.path.split('/').length > limits.depth)
      throw directoryInvalid(root, `the path ${shown(entry.path)} is too long or too deep`);
    entries.push(entry);
    if (entries.length > limits.entries)
      throw directoryInvalid(root, `it has more than ${limits.entries} files`);
    if (bytes > limits.bytes) throw directoryInvalid(root, `its files have more than ${limits.bytes} bytes`);
    if (pathBytes > limits.pathBytes)
      throw directoryInvalid(root, `its paths have more than ${limits.pathBytes} bytes`);
  };
  // A stack in place of a recursion: a directory may be as deep as the file system allows.
  const open: { path: string; isWhole: boolean }[] = [{ path: '', isWhole: !only }];
  for (let directory = open.pop(); directory; directory = open.pop()) {
    const { path: parent, isWhole } = directory;
    const names = await readdir(placeOf(root, parent), { encoding: 'buffer' });
    let isEmpty = true;
    for (const name of names.map((one) => one.toString('latin1'))) {
      if (name.toLowerCase() === '.git') continue;
      isEmpty = false;
      const path = parent === '' ? name : `${parent}/${name}`;
      const isListed = isWhole || (only?.has(path) ?? false);
      if (!isListed && !ways?.has(path)) continue;
      const place = placeOf(root, path);
      const stats = await lstat(place);
      const facts = { path, mtimeMs: stats.mtimeMs, inode: stats.ino, isExecutable: false, size: 0 };
      if (stats.isDirectory()) open.push({ path, isWhole: isListed });
      else if (!isListed) continue;
      else if (stats.isSymbolicLink()) {
        const linkTarget = (await readlink(place, { encoding: 'buffer' })).toString('latin1');
        add({ ...facts, type: 'symlink', linkTarget });
      } else if (stats.isFile())
        add({ ...facts, type: 'file', size: stats.size, isExecutable: (stats.mode & 0o100) !== 0 });
      else skipped.push(Buffer.from(path, 'latin1').toString());
    }
    if (isEmpty && isWhole && parent !== '') {
      const { mtimeMs, ino: inode } = await lstat(placeOf(root, parent));
      add({ path: parent, type: 'directory', size: 0, isExecutable: false, mtimeMs, inode });
    }
  }
  return { entries: entries.sort((a, b) => (a.path < b.path ? -1 : 1)), skipped };
}

/** Returns the directories on the way to each path. */
function parentsOf(paths: ReadonlySet<string>): Set<string> {
  const parents = new Set<string>();
  for (const path of paths)
    for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
      const parent = path.slice(0, end);
      if (parents.has(parent)) break;
      parents.add(parent);
    }
  return parents;
}

function shown(path: string): string {
  return JSON.stringify(Buffer.from(path.slice(0, 200), 'latin1').toString());
}
