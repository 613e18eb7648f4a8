import type { Mirror } from '@fumehood/git';
import { findFiles } from './commit-files.ts';
import { backendFailed } from './errors.ts';
import { diffBlobs } from './mirrors.ts';
import { readGit } from './read-git.ts';

/** The lines that two versions of a file have in common. Lines count from 0. */
export interface LineMap {
  /** Where a line of the old version is in the new one; null if it was changed or removed. */
  toNew(line: number): number | null;
  /** Where a line of the new version was in the old one; null if it was changed or added. */
  toOld(line: number): number | null;
}

/** Lines that were replaced by others: the first one, from 0, and how many, which may be none. */
export interface Hunk {
  readonly old: Lines;
  readonly new: Lines;
}
interface Lines {
  readonly start: number;
  readonly count: number;
}

/** Bytes of the largest file that is compared. */
const fileBytesMax = 4 * 2 ** 20;
/** Of the difference. */
const diffBounds = { bytes: 16 * 2 ** 20, ms: 5_000 };

/**
 * Returns which lines a file has in both commits. Null if it is missing in one of them, or if it or its difference is too large: more than 4 MiB
 * and 16 MiB, or 5 s. Errors: `git_failed`.
 */
export async function readLineMap(
  mirror: Mirror,
  from: string,
  to: string,
  path: string,
): Promise<LineMap | null> {
  const wanted = [from, to].map((commit) => ({ commit, path }));
  const [before, after] = await findFiles(mirror, wanted);
  if (!before || !after) return null;
  if (before.object === after.object) return lineMapOf([]);
  if (Math.max(before.size, after.size) > fileBytesMax) return null;
  const child = await mirror.git('git diff', [...diffBlobs, before.object, after.object, '--']);
  const { code, stdout, isCut } = await readGit(child, diffBounds);
  if (isCut) return null;
  if (code !== 0) throw backendFailed(`git diff ended with ${code}`);
  return lineMapOf(parseHunks(stdout.toString('latin1')));
}

/** Returns what a unified difference of one file, without lines of context, says was replaced. */
export function parseHunks(diff: string): Hunk[] {
  // Every line of the files has a sign before it. They may hold a carriage return, which does not end a line.
  const heads = diff.matchAll(/\n@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@/g);
  return [...heads].map(([, oldStart, oldCount, newStart, newCount]) => ({
    old: linesOf(oldStart, oldCount),
    new: linesOf(newStart, newCount),
  }));
}

/** A range of no lines is named by the line before it. */
function linesOf(start = '0', count = '1'): Lines {
  return { start: Number(start) - (Number(count) === 0 ? 0 : 1), count: Number(count) };
}

/** Returns the lines that these hunks, in the order of the file, leave as they are. */
export function lineMapOf(hunks: readonly Hunk[]): LineMap {
  const mapped = (line: number, from: 'old' | 'new', to: 'old' | 'new') => {
    const hunk = hunks[countUntil(hunks, line, from) - 1];
    if (!hunk) return line;
    const after = line - hunk[from].start - hunk[from].count;
    return after < 0 ? null : hunk[to].start + hunk[to].count + after;
  };
  return { toNew: (line) => mapped(line, 'old', 'new'), toOld: (line) => mapped(line, 'new', 'old') };
}

/** Returns how many hunks begin at or before a line. */
function countUntil(hunks: readonly Hunk[], line: number, side: 'old' | 'new'): number {
  let low = 0;
  let high = hunks.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((hunks[middle]?.[side].start ?? 0) <= line) low = middle + 1;
    else high = middle;
  }
  return low;
}
