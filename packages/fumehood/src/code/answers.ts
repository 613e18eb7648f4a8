import { type CodeLocation, type CodeLocations, codePageMax, type CodeQuery } from '@fumehood/protocol';
import { Option } from 'commander';
import type { ClientOptions } from '../cli/context.ts';
import { integer, revision } from '../cli/options.ts';
import { note } from '../cli/print.ts';

/** The options of every question about code. */
export interface CodeOptions extends ClientOptions {
  readonly revision?: string;
}
/** The options of a question whose answer comes in pages. */
export interface CodePageOptions extends CodeOptions {
  readonly limit: number;
  readonly after?: string;
}

export const revisionOption = () =>
  new Option('--revision <revision>', 'branch, tag or commit; default: the default branch').argParser(
    revision,
  );
export const limitOption = () =>
  new Option('--limit <n>', 'at most this many places').argParser(integer(1, codePageMax)).default(100);
export const afterOption = () =>
  new Option('--after <next>', 'the next page: what the page before had as `next`');

/** Returns what is asked about a place. */
export function placeQuery(
  repository: string,
  place: Pick<CodeQuery, 'path' | 'line' | 'character'>,
  { revision: asked }: CodeOptions,
): CodeQuery {
  return { repository, ...place, ...(asked !== undefined && { revision: asked }) };
}

/** Returns which page is asked for. */
export function pageQuery({ limit, after }: CodePageOptions): { limit: number; after?: string } {
  return { limit, ...(after !== undefined && { after }) };
}

/** Says how good an answer is, unless it is exact, and that there is more of it. */
export function noteAnswer({
  precision,
  indexedCommit,
  next = null,
}: Pick<CodeLocations, 'precision' | 'indexedCommit'> & { readonly next?: string | null }): void {
  if (precision === 'nearby')
    note(`the index of the earlier commit ${indexedCommit?.slice(0, 12)} answers; places were carried over`);
  if (precision === 'guess') note('no index covers this: a search for the word answers, which is a guess');
  if (next !== null) note(`there is more: --after ${next}`);
}

/**
 * Lays out places as editors do, counted from 1, with their symbols. One of another repository, or of another commit than that of the question, has
 * both before it.
 */
export function locationLines(
  { repository, commit }: Pick<CodeLocations, 'repository' | 'commit'>,
  locations: readonly (CodeLocation & { readonly name?: string })[],
): string[] {
  return locations.map((one) => {
    const isElsewhere = one.repository !== repository || one.commit !== commit;
    const where = isElsewhere ? `${one.repository}@${one.commit.slice(0, 12)} ` : '';
    return `${where}${one.path}:${one.line + 1}:${one.character + 1}  ${one.name ?? one.symbol}`.trimEnd();
  });
}
