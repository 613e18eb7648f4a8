import { Readable } from 'node:stream';
import { type Mirror, readTree, type TreeEntry } from '@fumehood/git';
import { ZipFile } from 'yazl';
import { backendFailed } from './errors.ts';
import { catFiles } from './mirrors.ts';

/** Of `TreeEntry`, what the archive of a file says. */
const modes = { file: 0o100644, executable: 0o100755, symlink: 0o120777, submodule: 0o40755 } as const;
/** Bytes of the line that git prints before an object. */
const headMax = 200;

/**
 * Returns the files of a commit that are at a path, or below it; '' is the whole commit. Errors: `repository_invalid` for a commit that
 * cannot be unpacked safely.
 */
export async function listBelow(mirror: Mirror, commit: string, path: string): Promise<TreeEntry[]> {
  const entries = await readTree({ commit, git: (label, args) => mirror.git(label, args) });
  if (path === '') return entries;
  const bytes = Buffer.from(path).toString('latin1');
  return entries.filter((entry) => entry.path === bytes || entry.path.startsWith(`${bytes}/`));
}

/**
 * Yields a zip archive of files of a mirror, with their paths in the commit. Nothing is written to a disk: git sends one file after the other.
 * `time` is that of all files, seconds since 1970. Files are missing whose names no zip archive can hold: those with a backslash, and those that
 * are not UTF-8. Errors: `git_failed`.
 */
export async function* zipOf(
  mirror: Mirror,
  entries: readonly TreeEntry[],
  time: number,
): AsyncGenerator<Buffer> {
  const named = entries.flatMap(({ path, ...entry }) => {
    const name = Buffer.from(path, 'latin1').toString('utf8');
    return /[\\\ufffd]/.test(name) ? [] : [{ ...entry, name }];
  });
  const files = named.filter(({ type }) => type !== 'submodule');
  await using objects = await openObjects(
    mirror,
    files.map(({ object }) => object),
  );
  const zip = new ZipFile();
  const output = zip.outputStream as Readable;
  zip.on('error', (error: Error) => output.destroy(error));
  output.on('error', () => {}); // whoever still reads it gets the error
  const mtime = new Date(time * 1_000);
  for (const { name, type, size } of named) {
    const mode = modes[type];
    if (type === 'submodule') zip.addEmptyDirectory(name, { mtime, mode });
    // A low level: what the archive saves in time is the network's.
    else
      zip.addReadStreamLazy(name, { mtime, mode, size, compressionLevel: 1 }, (use) => {
        const bytes = Readable.from(objects.next());
        bytes.on('error', (error) => output.destroy(error));
        use(null, bytes);
      });
  }
  zip.end();
  yield* output as AsyncIterable<Buffer>;
}

/** Yields the bytes of one file of a mirror. Errors: `git_failed`. */
export async function* bytesOfObject(mirror: Mirror, object: string): AsyncGenerator<Buffer> {
  await using objects = await openObjects(mirror, [object]);
  yield* objects.next();
}

/** Has git send these objects. `next` yields the bytes of the next one, and is to be read to its end. */
async function openObjects(mirror: Mirror, names: readonly string[]) {
  const child = await mirror.git('git cat-file', catFiles);
  child.stderr.resume();
  child.stdin.on('error', () => {}); // git has ended, which its output says too
  Readable.from(names.map((name) => `${name}\n`)).pipe(child.stdin);
  const chunks = child.stdout[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let rest: Buffer = Buffer.alloc(0);
  const read = async () => {
    const { done, value } = await chunks.next();
    if (done) throw backendFailed('git cat-file ended before its last object');
    return value;
  };
  const readHead = async () => {
    while (!rest.includes('\n')) {
      if (rest.length > headMax) throw backendFailed('git cat-file printed an unknown line');
      rest = Buffer.concat([rest, await read()]);
    }
    const end = rest.indexOf('\n');
    const line = rest.subarray(0, end).toString('latin1');
    rest = rest.subarray(end + 1);
    const size = /^[0-9a-f]{40} blob (\d+)$/.exec(line)?.[1];
    if (size === undefined) throw backendFailed('an object is missing');
    return Number(size);
  };
  return {
    async *next(): AsyncGenerator<Buffer> {
      let left = await readHead();
      while (left > 0) {
        if (rest.length === 0) rest = await read();
        const part = rest.subarray(0, left);
        rest = rest.subarray(part.length);
        left -= part.length;
        yield part;
      }
      if (rest.length === 0) rest = await read();
      rest = rest.subarray(1); // a line ends each object
    },
    async [Symbol.asyncDispose]() {
      child.kill();
      await child.exited;
    },
  };
}
