import type {
  CodeCallers,
  CodeHover,
  CodeLocation,
  CodeLocations,
  CodeRange,
  CodeSymbols,
  RepositoryRecord,
} from '@fumehood/protocol';
import type * as z from 'zod';
import { printable, printableLines } from '../cli/printable.ts';
import { locationLines } from '../code/answers.ts';
import type {
  callersOutput,
  hoverOutput,
  locationsOutput,
  repositoriesOutput,
  symbolsOutput,
} from './schemas.ts';

/** An answer as lines for a reader, and as data. */
export interface Answer<T> {
  readonly lines: readonly string[];
  readonly data: T;
}
/** Which page of all entries: `cursor` is `next` of the page before. */
interface Page {
  readonly limit: number;
  readonly cursor?: string | undefined;
}

/** Most characters of a name, a path and a description: repositories choose them. */
const most = { name: 300, path: 1_000, text: 20_000 } as const;

function clip(text: string, max: number): string {
  return text.length <= max ? text : `${text.slice(0, max).toWellFormed()}…`;
}
/** Returns what a repository named as one bounded line without control characters. */
const clean = (text: string, max: number = most.name) => clip(printable(text), max);

function cleanLocation<T extends CodeLocation>(one: T): T {
  return {
    ...one,
    repository: clean(one.repository),
    commit: clean(one.commit),
    path: clean(one.path, most.path),
    symbol: clean(one.symbol),
    package: one.package && {
      manager: clean(one.package.manager),
      name: clean(one.package.name),
      version: clean(one.package.version),
    },
  };
}

/** Returns a range as people count, from 1. */
const counted = ({ line, character, endLine, endCharacter }: CodeRange) => ({
  line: line + 1,
  column: character + 1,
  endLine: endLine + 1,
  endColumn: endCharacter + 1,
});
const placed = ({ repository, commit, path, symbol, package: of, ...range }: CodeLocation) => ({
  ...{ repository, commit, path, ...counted(range), symbol, package: of },
});

/** Returns what an answer says of itself, and how good it is in words. */
function about({
  repository,
  commit,
  precision,
  indexedCommit,
}: Pick<CodeLocations, 'repository' | 'commit' | 'precision' | 'indexedCommit'>) {
  const words = {
    exact: 'Exact: an index of this commit answers.',
    nearby: `Nearby: the index of the earlier commit ${indexedCommit?.slice(0, 12)} answers. Places were carried over by the difference of the commits; one in a line that changed keeps the earlier commit.`,
    guess:
      'Guess: no index covers this file. A search of the text for the word found these places; they may belong to other things of the same name.',
  };
  return { repository, commit, precision, quality: words[precision], indexedCommit };
}

/** Puts how good an answer is before its lines, and behind them how to go on. Without lines, `none` says so. */
function lay(
  { quality }: { readonly quality: string },
  lines: readonly string[],
  next: string | null,
  none: string,
): string[] {
  return [quality, ...(lines.length === 0 ? [none] : lines), ...more(next)];
}
const more = (next: string | null) => (next === null ? [] : [`There is more: ask again with cursor ${next}`]);

/** Lays out places. `max` bounds an answer that has no pages. */
export function locationsAnswer(
  found: CodeLocations,
  none: string,
  max: number,
): Answer<z.infer<typeof locationsOutput>> {
  const base = about(found);
  const locations = found.locations.slice(0, max).map(cleanLocation);
  const lines = lay(base, locationLines(found, locations), found.next, none);
  return { lines, data: { ...base, locations: locations.map(placed), next: found.next } };
}

/** Lays out references, each with the definition around it. */
export function callersAnswer(found: CodeCallers): Answer<z.infer<typeof callersOutput>> {
  const base = about(found);
  const callers = found.callers.map(({ at, caller }) => ({
    at: cleanLocation(at),
    caller: caller && { ...cleanLocation(caller), name: clean(caller.name) },
  }));
  const lines = callers.flatMap(({ at, caller }) => [
    ...locationLines(found, [at]),
    ...(caller === null ? [] : locationLines(found, [caller]).map((line) => `  in ${line}`)),
  ]);
  const data = callers.map(({ at, caller }) => ({
    at: placed(at),
    caller: caller && { ...placed(caller), name: caller.name },
  }));
  return {
    lines: lay(base, lines, found.next, 'No symbol is there, or nothing refers to it.'),
    data: { ...base, callers: data, next: found.next },
  };
}

/** Lays out what is known of a symbol. Each line of the description is indented, so that none looks like one of ours. */
export function hoverAnswer(found: CodeHover): Answer<z.infer<typeof hoverOutput>> {
  const base = about(found);
  const none = 'No symbol is there, or no index that answers describes it.';
  if (found.hover === null) return { lines: lay(base, [], null, none), data: { ...base, hover: null } };
  const text = clip(printableLines(found.hover.text), most.text);
  const hover = { symbol: clean(found.hover.symbol), text, ...counted(found.hover.range) };
  const lines = text.split('\n').map((line) => `  ${line}`.trimEnd());
  return { lines: lay(base, lines, null, none), data: { ...base, hover } };
}

/** Lays out a page of what a file defines. */
export function symbolsAnswer(
  found: CodeSymbols,
  { limit, cursor = '0' }: Page,
): Answer<z.infer<typeof symbolsOutput>> {
  const base = about(found);
  const from = Number(cursor);
  const symbols = found.symbols.slice(from, from + limit).map(({ name, kind, symbol, ...range }) => ({
    ...{ name: clean(name), kind: kind && clean(kind), ...counted(range), symbol: clean(symbol) },
  }));
  const next = from + limit < found.symbols.length ? String(from + limit) : null;
  const lines = symbols.map(({ line, column, kind, name }) => `${line}:${column}  ${kind ?? ''} ${name}`);
  const none = 'The file defines nothing more that other files can know.';
  return { lines: lay(base, lines, next, none), data: { ...base, symbols, next } };
}

/** Lays out a page of the repositories of an instance. */
export function repositoriesAnswer(
  all: readonly RepositoryRecord[],
  { filter = '', limit, cursor = '' }: Page & { readonly filter?: string | undefined },
): Answer<z.infer<typeof repositoriesOutput>> {
  const matching = all
    .filter(({ name }) => name.includes(filter) && name > cursor)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const repositories = matching.slice(0, limit).map(({ name, branch, commit, syncedAt }) => ({
    ...{ name, branch: branch && clean(branch), commit, syncedAt },
  }));
  const next = matching.length > limit ? (repositories.at(-1)?.name ?? null) : null;
  const lines = repositories.map(
    ({ name, branch, commit }) => `${name}  ${branch ?? '-'} ${commit?.slice(0, 12) ?? 'not yet synced'}`,
  );
  return {
    lines: [...(lines.length === 0 ? ['No repository matches.'] : lines), ...more(next)],
    data: { repositories, next },
  };
}
