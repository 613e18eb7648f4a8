import { readBinaryHalf } from './binary.ts';
import { diffInvalid, diffTooBig, submoduleChanged } from './errors.ts';
import { type Lines, readLines } from './lines.ts';
import { type NamePair, readName, readNames } from './names.ts';
import { checkPath, leadsOut } from './paths.ts';
import { readText } from './text.ts';

/** What a diff does with one file. */
export interface FileDiff {
  /** The new path; of a deleted file the one that it had. */
  readonly path: string;
  /** The path before; null for an added file. */
  readonly oldPath: string | null;
  readonly kind: 'modified' | 'added' | 'deleted' | 'renamed' | 'copied';
  /** Six octal digits. Null: there is no such file, or the diff does not say. */
  readonly oldMode: string | null;
  readonly newMode: string | null;
  readonly binary: boolean;
  readonly addedLines: number;
  readonly deletedLines: number;
  /** Its bytes in the diff: from `start`, up to and without `end`. */
  readonly start: number;
  readonly end: number;
}

/** The limits of a diff. */
export interface DiffLimits {
  readonly bytes: number;
  readonly files: number;
  /** What its binary files take in memory when git unpacks them, bytes of all together. */
  readonly unpackedBytes: number;
}

/** The mode of a submodule. */
export const submoduleMode = '160000';

export const diffLimits: DiffLimits = { bytes: 64 * 2 ** 20, files: 50_000, unpackedBytes: 512 * 2 ** 20 };

/**
 * Reads what a diff does, as `git diff --no-prefix --binary` says it. Reads every byte, and refuses what git would pass over: text
 * that is no diff, names that differ between headers, two changes of one file. Also refuses what may not be in a commit: paths that are
 * not below the root or are git's own, submodules unless they are removed, symbolic links that lead out, and binary files that unpack to too much. Errors:
 * `diff_invalid`, `diff_too_big`.
 */
export function readDiff(bytes: Uint8Array, limits: DiffLimits = diffLimits): FileDiff[] {
  if (bytes.length > limits.bytes) throw diffTooBig(`it has more than ${limits.bytes} bytes`);
  const lines = readLines(bytes);
  const files: FileDiff[] = [];
  const before = new Set<string>();
  const after = new Set<string>();
  const memory = { left: limits.unpackedBytes };
  while (!lines.isAtEnd) {
    if (files.length === limits.files) throw diffTooBig(`it changes more than ${limits.files} files`);
    const file = readFile(lines, memory);
    if (memory.left < 0)
      throw diffTooBig(`its binary files unpack to more than ${limits.unpackedBytes} bytes`);
    // A file that becomes a link is deleted and added. Everything else names each file once.
    if (file.kind !== 'added' && file.kind !== 'copied') claim(before, file.oldPath ?? file.path);
    if (file.kind !== 'deleted') claim(after, file.path);
    files.push(file);
  }
  return files;
}

function claim(paths: Set<string>, path: string): void {
  if (paths.has(path)) throw diffInvalid('two parts of the diff change it', path);
  paths.add(path);
}

/** The lines between `diff --git` and the contents. */
interface Header {
  readonly kind: FileDiff['kind'];
  readonly moved: NamePair | null;
  readonly oldMode: string | null;
  readonly newMode: string | null;
}

function readFile(lines: Lines, memory: { left: number }): FileDiff {
  const start = lines.at;
  const names = lines.takeAfter('diff --git ');
  if (names === null) throw diffInvalid('it has a line that belongs to no file');
  const header = readHeader(lines);
  const [oldPath, path] = readNames(names, header.moved);
  checkPath(oldPath);
  checkPath(path);
  checkModes(header, path);
  const isLink = header.newMode === '120000';
  const facts = { path, oldPath: header.kind === 'added' ? null : oldPath, ...headerFacts(header), start };
  if (lines.takeAfter('GIT binary patch') !== null) {
    if (isLink) throw diffInvalid('a symbolic link is no binary file', path);
    memory.left -= readBinaryHalf(lines, path);
    if (lines.has('literal ') || lines.has('delta ')) memory.left -= readBinaryHalf(lines, path);
    return { ...facts, binary: true, addedLines: 0, deletedLines: 0, end: lines.at };
  }
  if (lines.has('Binary files ')) throw diffInvalid('it lacks the contents of a binary file', path);
  const counts = lines.has('--- ')
    ? readText(lines, [
        header.kind === 'added' ? '/dev/null' : oldPath,
        header.kind === 'deleted' ? '/dev/null' : path,
      ])
    : null;
  if (isLink && counts === null && header.moved === null)
    throw diffInvalid('it does not say where a symbolic link leads', path);
  if (isLink && counts !== null) checkLink(path, counts.after);
  const { addedLines = 0, deletedLines = 0 } = counts ?? {};
  return { ...facts, binary: false, addedLines, deletedLines, end: lines.at };
}

const headerFacts = ({ kind, oldMode, newMode }: Header) => ({ kind, oldMode, newMode });

function readHeader(lines: Lines): Header {
  const oldMode = lines.takeAfter('old mode ');
  const changedMode = oldMode === null ? null : lines.takeAfter('new mode ');
  const deleted = lines.takeAfter('deleted file mode ');
  const added = deleted === null ? lines.takeAfter('new file mode ') : null;
  lines.takeAfter('similarity index ');
  lines.takeAfter('dissimilarity index ');
  const renamed = takeMoved(lines, 'rename');
  const copied = renamed === null ? takeMoved(lines, 'copy') : null;
  const index = /^[0-9a-f]{4,40}\.\.[0-9a-f]{4,40}(?: (\d{6}))?$/.exec(lines.takeAfter('index ') ?? '');
  const mode = index?.[1] ?? null;
  const moved = renamed ?? copied;
  const said = [deleted, added, moved].filter((one) => one !== null).length;
  const modes = [oldMode, deleted, added, mode].filter((one) => one !== null).length;
  if (said > 1 || modes > 1 || (oldMode === null) !== (changedMode === null))
    throw diffInvalid('its headers contradict each other');
  if (deleted !== null) return { kind: 'deleted', moved, oldMode: deleted, newMode: null };
  if (added !== null) return { kind: 'added', moved, oldMode: null, newMode: added };
  const kind = renamed ? 'renamed' : copied ? 'copied' : 'modified';
  return { kind, moved, oldMode: oldMode ?? mode, newMode: changedMode ?? mode };
}

function takeMoved(lines: Lines, word: 'rename' | 'copy'): NamePair | null {
  const from = lines.takeAfter(`${word} from `);
  if (from === null) return null;
  const to = lines.takeAfter(`${word} to `);
  if (to === null) throw diffInvalid('it lacks the new name of a file', from);
  return [readName(from), readName(to)];
}

function checkModes({ oldMode, newMode }: Header, path: string): void {
  if ([oldMode, newMode].includes(submoduleMode) && newMode !== null) throw submoduleChanged(path);
  if (oldMode !== null && !/^(?:100[0-7]{3}|120000|160000)$/.test(oldMode))
    throw diffInvalid('its mode is unknown', path);
  if (newMode !== null && !['100644', '100755', '120000'].includes(newMode))
    throw diffInvalid('its mode is unknown', path);
  if (oldMode !== null && newMode !== null && (oldMode === '120000') !== (newMode === '120000'))
    throw diffInvalid('a file that becomes a link, or the reverse, has to be deleted and added', path);
}

function checkLink(path: string, after: readonly string[] | null): void {
  const [target, ...others] = after ?? [];
  if (target === undefined || others.length > 0 || target.includes('\ufffd'))
    throw diffInvalid('it does not say where a symbolic link leads', path);
  if (leadsOut(path, target)) throw diffInvalid('it is a symbolic link that leads out', path);
}
