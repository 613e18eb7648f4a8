import { diffInvalid } from './errors.ts';
import type { Lines } from './lines.ts';
import { type NamePair, readName } from './names.ts';

/** What the hunks of a file say. */
interface Text {
  readonly addedLines: number;
  readonly deletedLines: number;
  /** The first lines of the new file that they show, at most two. Null: the file ends with a newline, or they do not show its end. */
  readonly after: readonly string[] | null;
}

const marks = { empty: 10, kept: 32, added: 43, deleted: 45, noNewline: 92 } as const;
const noNewlineText = '\\ No newline at end of file';
const shownMax = 2;

/** Reads the names of a text file, which have to be these, and its hunks. Errors: `diff_invalid`. */
export function readText(lines: Lines, [oldName, name]: NamePair): Text {
  const path = name === '/dev/null' ? oldName : name;
  if (takeTextName(lines, '--- ') !== oldName || takeTextName(lines, '+++ ') !== name)
    throw diffInvalid('the names in its headers differ', path);
  if (!lines.has('@@ -')) throw diffInvalid('it has no contents after its names', path);
  const text = { addedLines: 0, deletedLines: 0, shown: [] as string[], isOpen: false };
  while (lines.has('@@ -')) readHunk(lines, text, path);
  const { addedLines, deletedLines, shown, isOpen } = text;
  return { addedLines, deletedLines, after: isOpen ? shown : null };
}

function readHunk(
  lines: Lines,
  text: { addedLines: number; deletedLines: number; isOpen: boolean; readonly shown: string[] },
  path: string,
): void {
  const head = lines.takeBytes().toString('latin1', 0, 64);
  const counts = /^@@ -\d{1,9}(?:,(\d{1,9}))? \+\d{1,9}(?:,(\d{1,9}))? @@/.exec(head);
  if (!counts) throw diffInvalid('a hunk has no valid head', path);
  let old = Number(counts[1] ?? 1);
  let next = Number(counts[2] ?? 1);
  let last: number | null = null;
  while (old > 0 || next > 0 || lines.first === marks.noNewline) {
    const mark = lines.first;
    const line = lines.takeBytes();
    if (mark === marks.noNewline) {
      if (last === null || line.toString('latin1') !== noNewlineText)
        throw diffInvalid('a hunk has an unknown line', path);
      if (last !== marks.deleted) text.isOpen = true;
      last = null;
      continue;
    }
    if (mark === marks.added) text.addedLines += 1;
    else if (mark === marks.deleted) text.deletedLines += 1;
    else if (mark !== marks.kept && mark !== marks.empty)
      throw diffInvalid('a hunk has an unknown line', path);
    if (mark !== marks.added) old -= 1;
    if (mark !== marks.deleted) next -= 1;
    if (old < 0 || next < 0) throw diffInvalid('a hunk has other lines than its head says', path);
    if (mark !== marks.deleted && text.shown.length < shownMax) text.shown.push(line.toString('utf8', 1));
    last = mark;
  }
}

/** Git writes a tab after a name with spaces. */
function takeTextName(lines: Lines, beginning: '--- ' | '+++ '): string {
  const name = lines.takeAfter(beginning);
  if (name === null) throw diffInvalid('it lacks the name of a file');
  return readName(name.replace(/\t$/, ''));
}
