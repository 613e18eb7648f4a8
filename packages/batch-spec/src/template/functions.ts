import { formatted } from './format.ts';
import { matchesGlob } from './glob.ts';
import { shellWordOnce, shellWords } from './shell.ts';
import { Float, isList, isMap, isTrue, textOf, typeOf, type Value } from './value.ts';

/** The arguments of a function; each is evaluated when the function asks for it. */
export type Arguments = readonly (() => Value)[];
/** A function. Throws an `Error` for arguments that it does not take. */
export type Call = (args: Arguments) => Value;

/** Longest text that a function returns, UTF-16 code units. */
const lengthMax = 4_194_304;

const bounded = (text: string): string => {
  if (text.length > lengthMax) throw new Error(`a text has at most ${lengthMax} characters`);
  return text;
};
const wrongCount = (wanted: string, got: number) =>
  new Error(`wrong number of args: want ${wanted} got ${got}`);

/** Makes a function of values that has at least `min` and at most `max` of them. */
const of =
  (min: number, max: number, run: (...values: Value[]) => Value): Call =>
  (args) => {
    if (args.length < min || args.length > max)
      throw wrongCount(min === max ? String(min) : `at least ${min}`, args.length);
    return run(...args.map((value) => value()));
  };

function text(value: Value): string {
  if (typeof value !== 'string')
    throw new Error(`wrong type for value; expected string; got ${typeOf(value)}`);
  return value;
}
function texts(value: Value): string[] {
  if (value === null) return [];
  if (!isList(value))
    throw new Error(`wrong type for value; expected a list of strings; got ${typeOf(value)}`);
  return value.map(text);
}
function place(value: Value, length: number, upTo: number): number {
  if (typeof value !== 'number') throw new Error(`cannot index slice/array with type ${typeOf(value)}`);
  if (value < 0 || value >= length + upTo) throw new Error(`index out of range: ${value}`);
  return value;
}

/** Returns whether two values are equal. Throws an `Error` for two that cannot be compared. */
function equal(a: Value, b: Value): boolean {
  for (const one of [a, b])
    if (isList(one) || isMap(one)) throw new Error(`non-comparable type ${textOf(one)}: ${typeOf(one)}`);
  if (a === null || b === null) return a === b;
  if (typeOf(a) !== typeOf(b)) throw new Error('incompatible types for comparison');
  return a instanceof Float && b instanceof Float ? a.number === b.number : a === b;
}

function less(a: Value, b: Value): boolean {
  if (typeOf(a) !== typeOf(b)) throw new Error('incompatible types for comparison');
  if (a instanceof Float && b instanceof Float) return a.number < b.number;
  if (typeof a === 'number' && typeof b === 'number') return a < b;
  if (typeof a === 'string' && typeof b === 'string')
    return Buffer.compare(Buffer.from(a), Buffer.from(b)) < 0;
  throw new Error('invalid type for comparison');
}

/** Returns the first argument that decides, or the last. */
const decide =
  (by: boolean): Call =>
  (args) => {
    if (args.length === 0) throw wrongCount('at least 1', 0);
    let value: Value = null;
    for (const arg of args) {
      value = arg();
      if (isTrue(value) === by) break;
    }
    return value;
  };

/** Writes values one after the other, with a blank between two of which neither is a text. */
const print = (values: readonly Value[]): string =>
  values
    .map((value, at) => {
      const before = values[at - 1];
      const blank = at > 0 && typeof value !== 'string' && typeof before !== 'string';
      return (blank ? ' ' : '') + textOf(value);
    })
    .join('');

function index(value: Value, ...at: Value[]): Value {
  let found = value;
  for (const one of at)
    if (isMap(found)) found = found.get(text(one)) ?? null;
    else if (isList(found)) found = found[place(one, found.length, 0)] ?? null;
    else if (typeof found === 'string') {
      const bytes = Buffer.from(found);
      found = bytes[place(one, bytes.length, 0)] ?? null;
    } else
      throw new Error(found === null ? 'index of untyped nil' : `can't index item of type ${typeOf(found)}`);
  return found;
}

function slice(value: Value, ...at: Value[]): Value {
  const all = typeof value === 'string' ? Buffer.from(value) : isList(value) ? value : null;
  if (all === null) throw new Error(`can't slice item of type ${typeOf(value)}`);
  const [from = 0, to = all.length] = at.map((one) => place(one, all.length, 1));
  if (from > to) throw new Error(`invalid slice index: ${from} > ${to}`);
  const part = all.slice(from, to);
  return Buffer.isBuffer(part) ? part.toString() : part;
}

function length(value: Value): number {
  if (typeof value === 'string') return Buffer.byteLength(value);
  if (isList(value)) return value.length;
  if (isMap(value)) return value.size;
  throw new Error(value === null ? 'len of nil pointer' : `len of type ${typeOf(value)}`);
}

const html: Readonly<Record<string, string>> = {
  '\0': '\ufffd',
  '"': '&#34;',
  "'": '&#39;',
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
};

/** Returns a text as the inside of a string of JavaScript. */
function jsText(value: string): string {
  const named: Readonly<Record<string, string>> = {
    '\\': '\\\\',
    "'": "\\'",
    '"': '\\"',
    '<': '\\u003C',
    '>': '\\u003E',
    '&': '\\u0026',
    '=': '\\u003D',
  };
  return value.replace(/[\\'"<>&=]|[^\x20-\x7e\p{L}\p{M}\p{N}\p{P}\p{S}\p{Zs}]/gu, (one) => {
    const point = (one.codePointAt(0) ?? 0).toString(16).toUpperCase();
    return named[one] ?? `\\u${point.padStart(4, '0')}`;
  });
}
const queryText = (value: string): string =>
  encodeURIComponent(value.toWellFormed())
    .replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%20', '+');

/** The functions of templates: Go's, and those that upstream adds, from `join` on. */
export const functions: Readonly<Record<string, Call>> = {
  and: decide(false),
  or: decide(true),
  not: of(1, 1, (value) => !isTrue(value)),
  len: of(1, 1, length),
  index: of(1, Infinity, (value = null, ...at) => index(value, ...at)),
  slice: of(1, 4, (value = null, ...at) => slice(value, ...at)),
  print: of(0, Infinity, (...values) => bounded(print(values))),
  println: of(0, Infinity, (...values) => bounded(`${values.map(textOf).join(' ')}\n`)),
  printf: of(1, Infinity, (format = null, ...values) => bounded(formatted(text(format), values))),
  html: of(1, Infinity, (...values) =>
    bounded(print(values).replace(/[\0"'&<>]/g, (one) => html[one] ?? one)),
  ),
  js: of(1, Infinity, (...values) => bounded(jsText(print(values)))),
  urlquery: of(1, Infinity, (...values) => bounded(queryText(print(values)))),
  call: of(1, Infinity, (value) => {
    throw new Error(`non-function of type ${typeOf(value ?? null)}`);
  }),
  eq: of(2, Infinity, (first = null, ...others) => others.map((other) => equal(first, other)).includes(true)),
  ne: of(2, 2, (a = null, b = null) => !equal(a, b)),
  lt: of(2, 2, (a = null, b = null) => less(a, b)),
  le: of(2, 2, (a = null, b = null) => less(a, b) || equal(a, b)),
  gt: of(2, 2, (a = null, b = null) => less(b, a)),
  ge: of(2, 2, (a = null, b = null) => less(b, a) || equal(a, b)),
  join: of(2, 2, (list = null, by = null) => bounded(texts(list).join(text(by)))),
  split: of(2, 2, (all = null, by = null) =>
    text(by) === '' ? Array.from(text(all)) : text(all).split(text(by)),
  ),
  replace: of(3, 3, (all = null, old = null, by = null) =>
    bounded(text(all).replaceAll(text(old), () => text(by))),
  ),
  join_if: of(1, Infinity, (by = null, ...parts) =>
    bounded(
      parts
        .map(text)
        .filter((part) => part !== '')
        .join(text(by)),
    ),
  ),
  shellquote_join: of(0, Infinity, (...values) =>
    bounded(
      values
        .flatMap((value) => (isList(value) ? texts(value) : [text(value)]))
        .map(shellWordOnce)
        .join(' '),
    ),
  ),
  shellquote_split: of(1, 1, (value = null) => shellWords(text(value))),
  matches: of(2, 2, (value = null, pattern = null) => matchesGlob(text(value), text(pattern))),
};
