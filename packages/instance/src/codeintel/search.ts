import type { Mirror } from '@fumehood/git';
import { readFiles } from '../repos/commit-files.ts';
import { backendFailed } from '../repos/errors.ts';
import { grepWord } from '../repos/mirrors.ts';
import { readGit } from '../repos/read-git.ts';
import { identifierAt, looksDefined, occurrencesOf, type WordSpan } from './words.ts';

/** A place of a word in a file of a commit. Lines count from 0. */
export interface WordPlace extends WordSpan {
  readonly path: string;
  readonly line: number;
}

/** Bytes of the largest file in which an identifier is asked for. */
const fileBytesMax = 4 * 2 ** 20;
/** Of what git finds. */
const grepBounds = { bytes: 2 ** 20, ms: 5_000 };
/** How many places are returned. */
const placesMax = 200;

/**
 * Returns where the identifier at a position (line and UTF-16 code unit, from 0) is in the files of a commit: what looks like a definition first,
 * and otherwise in the order of the paths. It guesses from the text alone. It looks at the first 1 MiB of the lines that git finds within 5 s, and
 * returns at most 200 places; none if there is no identifier at the position, or the file is no text of at most 4 MiB. Errors: `git_failed`.
 */
export async function searchWord(
  mirror: Mirror,
  commit: string,
  at: { readonly path: string; readonly line: number; readonly character: number },
): Promise<WordPlace[]> {
  const text = (await readFiles(mirror, commit, [at.path], fileBytesMax)).get(at.path);
  const word = identifierAt(text?.split('\n')[at.line] ?? '', at.character);
  if (word === null) return [];
  const child = await mirror.git('git grep', [...grepWord, word, commit, '--']);
  const { code, stdout, isCut } = await readGit(child, grepBounds);
  // Git says with 1 that it found nothing.
  if (!isCut && code !== 0 && code !== 1) throw backendFailed(`git grep ended with ${code}`);
  return placesIn(stdout, word, commit);
}

/** Returns the places in the output of git; one that was cut off ends at the last whole line. */
function placesIn(output: Buffer, word: string, commit: string): WordPlace[] {
  const definitions: WordPlace[] = [];
  const others: WordPlace[] = [];
  for (const [, name = '', line, bytes = ''] of output
    .toString('latin1')
    .matchAll(/([^\0]*)\0(\d+)[\0:]([^\n]*)\n/gy)) {
    const path = utf8(name).slice(commit.length + 1);
    if (path.includes('\ufffd')) continue; // no request could name it
    const text = utf8(bytes);
    for (const span of occurrencesOf(word, text)) {
      const places = looksDefined(text, span.character) ? definitions : others;
      if (places.length < placesMax) places.push({ path, line: Number(line) - 1, ...span });
    }
  }
  return [...definitions, ...others].slice(0, placesMax);
}

const utf8 = (latin1: string) => Buffer.from(latin1, 'latin1').toString('utf8');
