import { RE2JS } from 're2js';
import { batchQueryInvalid } from '../errors.ts';
import { pathsOfLanguage } from './languages.ts';
import { type Expression, readExpression, type Refuse, type Term } from './query-syntax.ts';

/** A condition for the names of repositories or the paths of files. */
export interface NameCondition {
  /** Whether the name must not match. */
  readonly isNot: boolean;
  readonly matches: (name: string) => boolean;
}

/** A text that a file has to have, or must not have. */
export interface ContentCondition {
  readonly isNot: boolean;
  readonly text: string;
  /** Whether the text is a regular expression: a POSIX extended one. */
  readonly isPattern: boolean;
}

/** A file that a repository has to have, or must not have, whether or not it is a result. */
export interface FileCondition {
  readonly isNot: boolean;
  /** Null: any path will do. */
  readonly matches: ((path: string) => boolean) | null;
  /** Null: any text will do. */
  readonly content: ContentCondition | null;
}

/** Conditions all of which have to hold. */
export interface Alternative {
  readonly repositories: readonly NameCondition[];
  readonly having: readonly FileCondition[];
  readonly files: readonly NameCondition[];
  readonly contents: readonly ContentCondition[];
}

/** A search for repositories and files. It finds what any of its alternatives finds. */
export interface Query {
  readonly alternatives: readonly Alternative[];
  readonly isCaseSensitive: boolean;
  /** Whether the paths of the files are no part of the result. */
  readonly selectsRepositories: boolean;
}

/** Fields that say nothing here: every match counts, and a query is for default branches, also with a revision. */
const ignored = new Set(['count', 'timeout', 'visibility', 'context', 'rev', 'revision']);
/** Fields that hold for all of a query. */
const settingNames = new Set(['case', 'patterntype', 'select']);
const patternTypes = ['literal', 'standard', 'keyword', 'regexp'];
/** Conditions of all alternatives together: each content is a search through a repository. */
const conditionsMax = 100;
const alternativesMax = 50;
const patternMax = 1_000;

/**
 * Reads a query: `repo:`, `file:` and `lang:`, words, quoted texts, `/patterns/`, `repo:has.path(…)` and its like, `case:yes`, `patterntype:`, `select:repo`; `and`,
 * `or`, `not`, `-` and groups in parentheses. `isKeyword`: by default each word is a condition of its own; otherwise words that follow each
 * other are one text. Errors: `batch_query_invalid`, also for what is not supported.
 */
export function parseQuery(text: string, isKeyword: boolean): Query {
  const refuse: Refuse = (why, at) =>
    batchQueryInvalid(text, at === null ? why : `${why} (at character ${at + 1})`);
  const expression = readExpression(text, refuse);
  const terms = [...termsOf(expression)];
  const settings = new Map(
    terms.flatMap(({ field, value, at }) => (settingNames.has(field ?? '') ? [[field, { value, at }]] : [])),
  );
  const { value: type, at: typeAt } = settings.get('patterntype') ?? {
    ...{ value: isKeyword ? 'keyword' : 'standard', at: null },
  };
  if (!patternTypes.includes(type)) throw refuse(`patterntype:${type} is not supported`, typeAt);
  const select = settings.get('select');
  if (select !== undefined && select.value !== 'repo')
    throw refuse(`select:${select.value} is not supported`, select.at);
  const reading = { type, isCaseSensitive: settings.get('case')?.value === 'yes', refuse };
  const alternatives = alternativesOf(expression, false, reading);
  if (alternatives.some((conditions) => conditions.length === 0)) throw refuse('it has no condition', null);
  return {
    alternatives: alternatives.map(sorted),
    isCaseSensitive: reading.isCaseSensitive,
    selectsRepositories: select !== undefined,
  };
}

/** A condition of any kind. */
type Condition =
  | { readonly kind: 'repository' | 'file'; readonly condition: NameCondition }
  | { readonly kind: 'having'; readonly condition: FileCondition }
  | { readonly kind: 'content'; readonly condition: ContentCondition };

interface Reading {
  readonly type: string;
  readonly isCaseSensitive: boolean;
  readonly refuse: Refuse;
}

function* termsOf(expression: Expression): Generator<Term> {
  if (expression.kind === 'term') yield expression;
  else if (expression.kind === 'not') yield* termsOf(expression.of);
  else for (const one of expression.of) yield* termsOf(one);
}

function sorted(conditions: readonly Condition[]): Alternative {
  const of = <K extends Condition['kind']>(kind: K) =>
    conditions
      .filter((one): one is Extract<Condition, { kind: K }> => one.kind === kind)
      .map((one) => one.condition as Extract<Condition, { kind: K }>['condition']);
  return { repositories: of('repository'), having: of('having'), files: of('file'), contents: of('content') };
}

/** Returns the lists of conditions one of which has to hold, whole. `isNot`: for what the expression denies. */
function alternativesOf(expression: Expression, isNot: boolean, reading: Reading): Condition[][] {
  const { refuse } = reading;
  if (expression.kind === 'not') return alternativesOf(expression.of, !isNot, reading);
  if (expression.kind === 'term') return [conditionsOf(expression, isNot, reading)];
  const parts = (expression.kind === 'sequence' ? joined(expression.of, reading) : expression.of).map((one) =>
    alternativesOf(one, isNot, reading),
  );
  const isEither = (expression.kind === 'or') !== isNot;
  const found = isEither
    ? parts.flat()
    : parts.reduce<Condition[][]>(
        (all, part) => {
          if (all.length * part.length > alternativesMax)
            throw refuse(`it has more than ${alternativesMax} alternatives`, null);
          return all.flatMap((before) => part.map((one) => [...before, ...one]));
        },
        [[]],
      );
  if (found.length > alternativesMax) throw refuse(`it has more than ${alternativesMax} alternatives`, null);
  if (found.flat().length > conditionsMax) throw refuse(`it has more than ${conditionsMax} conditions`, null);
  return found;
}

/** Makes one term of words that are one text, where each is no condition of its own. Settings are left out. A group of words among others is text, too: `if (x) {`. */
function joined(terms: readonly Expression[], { type }: Reading): Expression[] {
  const rest = terms.filter(
    (one) => one.kind !== 'term' || !(settingNames.has(one.field ?? '') || ignored.has(one.field ?? '')),
  );
  if (type === 'keyword' || type === 'regexp') return rest;
  const isWord = (one: Expression): one is Term =>
    one.kind === 'term' && one.field === null && !one.isQuoted && !one.isNot;
  const [first] = rest.filter(isWord);
  if (first === undefined) return rest;
  const textOf = (one: Expression) =>
    isWord(one) ? one.value : one.kind === 'sequence' && one.of.every(isWord) ? one.text : null;
  const whole = { ...first, value: rest.flatMap((one) => textOf(one) ?? []).join(' ') };
  return [...rest.filter((one) => textOf(one) === null), whole];
}

/** Returns what a term asks for. */
function conditionsOf({ isNot: minus, ...term }: Term, isDenied: boolean, reading: Reading): Condition[] {
  const { field, value, isQuoted, at } = term;
  const refuse = (why: string) => reading.refuse(why, at);
  const isNot = minus !== isDenied;
  if (field !== null && (settingNames.has(field) || ignored.has(field))) return [];
  if (value.length > patternMax) throw refuse(`a condition has at most ${patternMax} characters`);
  if (value.includes('\0')) throw refuse('it has a NUL');
  const matching = (pattern: string) => compile(pattern, reading.isCaseSensitive, refuse);
  const named = (kind: 'repository' | 'file', pattern: string): Condition[] => [
    { kind, condition: { isNot, matches: matching(pattern) } },
  ];
  const content = (text: string, isPattern: boolean): Condition[] => [
    { kind: 'content', condition: { isNot, text, isPattern } },
  ];
  const call = isQuoted ? null : /^(?:has|contains)\.([a-z.]+)\((.*)\)$/s.exec(value);
  switch (field) {
    case null:
    case 'content': {
      const slashes = isQuoted || reading.type === 'literal' ? null : /^\/(.+)\/$/s.exec(value);
      return content(slashes?.[1] ?? value, slashes !== null || (reading.type === 'regexp' && !isQuoted));
    }
    case 'repo':
    case 'r':
      if (call) return [{ kind: 'having', condition: { isNot, ...fileOf(call, matching, refuse) } }];
      // A revision after the name changes nothing, as a query finds default branches.
      return named('repository', value.replace(/@[^@]*$/, ''));
    case 'repohasfile':
      return [{ kind: 'having', condition: { isNot, matches: matching(value), content: null } }];
    case 'file':
    case 'f':
    case 'path':
      if (call?.[1] === 'content') return content(call[2] ?? '', true);
      if (call) throw refuse(`file:has.${call[1]}(…) is not supported`);
      return named('file', value);
    case 'lang':
    case 'language':
    case 'l': {
      const paths = pathsOfLanguage(value);
      if (paths === null)
        throw refuse(`the instance does not know the language ${value}: name its files with file:`);
      return named('file', paths);
    }
    case 'fork':
    case 'archived':
      if (value === 'only')
        throw refuse(`${field}:only is not supported: the instance does not know which repositories are`);
      return [];
    case 'type':
      if (value === 'file') return [];
      throw refuse(`type:${value} is not supported: a query finds files`);
    default:
      throw refuse(`the field ${field}: is not supported`);
  }
}

/** Returns the file that `repo:has.path(…)`, `repo:has.content(…)` or `repo:has.file(path:… content:…)` asks for. */
function fileOf(
  [, name = '', text = '']: RegExpExecArray,
  matching: (pattern: string) => (path: string) => boolean,
  refuse: (why: string) => Error,
): Omit<FileCondition, 'isNot'> {
  const content = (pattern: string) => ({ isNot: false, text: pattern, isPattern: true });
  if (name === 'path') return { matches: matching(text), content: null };
  if (name === 'content') return { matches: null, content: content(text) };
  const [, path, before, after] = /^\s*(?:path:(\S+)(?:\s+content:(.+))?|content:(.+))$/s.exec(text) ?? [];
  if (name !== 'file' || (path ?? after) === undefined)
    throw refuse(
      `repo:has.${name}(…) is not supported: there are has.path(…), has.content(…) and has.file(path:… content:…)`,
    );
  const wanted = (before ?? after)?.trim();
  return {
    matches: path === undefined ? null : matching(path),
    content: wanted === undefined ? null : content(wanted),
  };
}

/** Compiles a regular expression, which takes time proportional to the length of what it is compared with. */
function compile(
  pattern: string,
  isCaseSensitive: boolean,
  refuse: (why: string) => Error,
): (name: string) => boolean {
  try {
    const compiled = RE2JS.compile(pattern, isCaseSensitive ? 0 : RE2JS.CASE_INSENSITIVE);
    return (name) => compiled.matcher(name).find();
  } catch (error) {
    throw refuse(`${pattern} is no regular expression: ${(error as Error).message}`);
  }
}
