import { RE2JS } from 're2js';
import { batchQueryInvalid } from '../errors.ts';

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

/** A search for repositories and files. All conditions have to hold. */
export interface Query {
  readonly repositories: readonly NameCondition[];
  readonly files: readonly NameCondition[];
  readonly contents: readonly ContentCondition[];
  readonly isCaseSensitive: boolean;
  /** Whether the paths of the files are no part of the result. */
  readonly selectsRepositories: boolean;
}

/** Fields that say nothing here: there are no forks or archives, and every match counts. */
const ignored = new Set(['count', 'timeout', 'fork', 'archived', 'visibility', 'context']);
const names: Readonly<Record<string, 'repo' | 'file' | 'content'>> = {
  ...{ repo: 'repo', r: 'repo', file: 'file', f: 'file', path: 'file', content: 'content' },
};
const patternTypes = ['literal', 'standard', 'keyword', 'regexp'];
const conditionsMax = 50;
const patternMax = 1_000;

/**
 * Reads a query: `repo:` and `file:` with regular expressions, words, quoted texts, `/patterns/`, `case:yes`, `patterntype:`, `select:repo`; `-` or `not` before
 * one of them denies it. `isKeyword`: by default each word is a condition of its own; otherwise all words together are one text. Errors:
 * `batch_query_invalid`, also for what is not supported.
 */
export function parseQuery(text: string, isKeyword: boolean): Query {
  const refuse = (why: string) => batchQueryInvalid(text, why);
  const tokens = tokensOf(text, refuse);
  const settings = new Map<string, string>(
    tokens.flatMap(({ field, value }) =>
      field === 'case' || field === 'patterntype' || field === 'select' ? [[field, value] as const] : [],
    ),
  );
  const isCaseSensitive = settings.get('case') === 'yes';
  const type = settings.get('patterntype') ?? (isKeyword ? 'keyword' : 'standard');
  if (!patternTypes.includes(type)) throw refuse(`patterntype:${type} is not supported`);
  const select = settings.get('select');
  if (select !== undefined && select !== 'repo') throw refuse(`select:${select} is not supported`);

  const repositories: NameCondition[] = [];
  const files: NameCondition[] = [];
  const contents: ContentCondition[] = [];
  const words: string[] = [];
  for (const { field, value, isNot, isQuoted } of tokens) {
    if (field !== null && (ignored.has(field) || settings.has(field))) continue;
    const kind = field === null ? null : names[field];
    if (kind === undefined) throw refuse(`the field ${field}: is not supported`);
    if (value.length > patternMax) throw refuse(`a condition has at most ${patternMax} characters`);
    if (value.includes('\0')) throw refuse('it has a NUL');
    if (kind === 'repo')
      // A revision after the name changes nothing: a query finds default branches.
      repositories.push({
        isNot,
        matches: compile(value.replace(/@[^@]*$/, ''), isCaseSensitive, refuse),
      });
    else if (kind === 'file') files.push({ isNot, matches: compile(value, isCaseSensitive, refuse) });
    else if (kind === 'content' || isQuoted || isNot || type === 'keyword' || type === 'regexp') {
      const slashes = isQuoted || type === 'literal' ? null : /^\/(.+)\/$/.exec(value);
      const isPattern = slashes !== null || (type === 'regexp' && !isQuoted);
      contents.push({ isNot, text: slashes?.[1] ?? value, isPattern });
    } else words.push(value);
  }
  if (words.length > 0) {
    const joined = words.join(' ');
    const slashes = type === 'standard' ? /^\/(.+)\/$/.exec(joined) : null;
    contents.push({ isNot: false, text: slashes?.[1] ?? joined, isPattern: slashes !== null });
  }
  const count = repositories.length + files.length + contents.length;
  if (count === 0) throw refuse('it has no condition');
  if (count > conditionsMax) throw refuse(`it has more than ${conditionsMax} conditions`);
  return { repositories, files, contents, isCaseSensitive, selectsRepositories: select === 'repo' };
}

interface Token {
  /** The name before the colon, in lower case; null: it has none. */
  readonly field: string | null;
  readonly value: string;
  readonly isNot: boolean;
  readonly isQuoted: boolean;
}

/** A word, a quoted text or a /pattern/, with a field or without one. */
const token =
  /(-?)(?:([A-Za-z]+):)?(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|(\/(?:[^/\\]|\\.)+\/(?=\s|$)|\S+))/gy;
const gap = /\s*/y;

function tokensOf(text: string, refuse: (why: string) => Error): Token[] {
  const tokens: Token[] = [];
  let isNot = false;
  let at = 0;
  for (;;) {
    gap.lastIndex = at;
    gap.test(text);
    at = gap.lastIndex;
    if (at >= text.length) break;
    token.lastIndex = at;
    const [all = '', minus, field, double, single, plain = ''] = token.exec(text) ?? [];
    if (all === '') throw refuse(`nothing can be read at character ${at + 1}`);
    at = token.lastIndex;
    const quoted = double ?? single;
    if (field === undefined && quoted === undefined && minus === '') {
      if (plain === 'and' || plain === 'AND') continue; // all conditions have to hold anyway
      if (plain === 'not' || plain === 'NOT') {
        isNot = true;
        continue;
      }
      if (plain === 'or' || plain === 'OR' || /^\(|\)$/.test(plain))
        throw refuse('`or` and groups are not supported: use several entries of `on`');
    }
    const value = quoted === undefined ? plain : quoted.replace(/\\(["'\\])/g, '$1');
    tokens.push({
      field: field?.toLowerCase() ?? null,
      value,
      isNot: isNot || minus === '-',
      isQuoted: quoted !== undefined,
    });
    isNot = false;
  }
  if (isNot) throw refuse('nothing follows `not`');
  return tokens;
}

/** Compiles a regular expression, which takes time proportional to the length of what it is compared with. */
function compile(
  pattern: string,
  isCaseSensitive: boolean,
  refuse: (why: string) => Error,
): (name: string) => boolean {
  if (pattern.length > patternMax) throw refuse(`a pattern has at most ${patternMax} characters`);
  try {
    const compiled = RE2JS.compile(pattern, isCaseSensitive ? 0 : RE2JS.CASE_INSENSITIVE);
    return (name) => compiled.matcher(name).find();
  } catch (error) {
    throw refuse(`${pattern} is no regular expression: ${(error as Error).message}`);
  }
}
