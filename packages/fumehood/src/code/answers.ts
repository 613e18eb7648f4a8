import {
  type CodeLocation,
  type CodeLocations,
  codePageMax,
  type CodePageQuery,
  type CodeQuery,
} from '@fumehood/protocol';
import { type Command, Option } from 'commander';
import type { ClientOptions } from '../cli/context.ts';
import { codePlace, integer, jsonOption, revision, storedRepository } from '../cli/options.ts';
import { note, printResult, type PrintOptions } from '../cli/print.ts';

/** A place in a file; line and character count from 0. */
export type CodePlace = ReturnType<typeof codePlace>;

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

/** Adds a command that asks about a place in a repository. */
export function placeCommand(code: Command, name: string, description: string): Command {
  return code
    .command(name)
    .description(description)
    .argument('<repository>', 'name of the repository', storedRepository)
    .argument('<place>', 'PATH:LINE:COLUMN, counted from 1', codePlace)
    .addOption(revisionOption())
    .addOption(jsonOption());
}

/** Adds a command whose answer about a place comes in pages. */
export function pageCommand(code: Command, name: string, description: string): Command {
  return placeCommand(code, name, description)
    .option('--limit <n>', 'at most this many places', integer(1, codePageMax), 100)
    .option('--after <next>', 'the next page: what the page before had as `next`');
}

/** Returns what is asked about a place. */
export function placeQuery(
  repository: string,
  place: CodePlace,
  { revision: asked }: CodeOptions,
): CodeQuery {
  return { repository, ...place, ...(asked !== undefined && { revision: asked }) };
}

/** Returns which page of what is asked about a place. */
export function pageQuery(repository: string, place: CodePlace, options: CodePageOptions): CodePageQuery {
  const { limit, after } = options;
  return { ...placeQuery(repository, place, options), limit, ...(after !== undefined && { after }) };
}

/** Prints an answer. One without lines is said to be empty, by `none` unless it is a guess, and makes the command exit with 1. */
export function printAnswer(
  options: PrintOptions,
  answer: Parameters<typeof noteAnswer>[0],
  lines: readonly string[],
  none: string,
): void {
  if (lines.length === 0) {
    note(
      answer.precision === 'guess'
        ? 'no index covers this, and a search for the word there, if there is one, found nothing'
        : none,
    );
    process.exitCode = 1;
  } else noteAnswer(answer);
  printResult(options, answer, lines);
}

/** Says how good an answer is, unless it is exact, and that there is more of it. */
function noteAnswer({
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
 * both before it; one in a package has the package.
 */
export function locationLines(
  { repository, commit }: Pick<CodeLocations, 'repository' | 'commit'>,
  locations: readonly (CodeLocation & { readonly name?: string })[],
): string[] {
  const whereOf = (one: CodeLocation) => {
    if (one.package) return `${one.package.manager} ${one.package.name}@${one.package.version} `;
    const isElsewhere = one.repository !== repository || one.commit !== commit;
    return isElsewhere ? `${one.repository}@${one.commit.slice(0, 12)} ` : '';
  };
  return locations.map((one) => {
    return `${whereOf(one)}${one.path}:${one.line + 1}:${one.character + 1}  ${one.name ?? one.symbol}`.trimEnd();
  });
}
