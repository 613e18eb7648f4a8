import { templateInvalid } from './errors.ts';

/** A piece of a template. */
export type Part =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'action'; readonly tokens: readonly Token[]; readonly offset: number };

/** A token of an action. `spaced`: white space is before it. */
export interface Token {
  readonly kind: 'word' | 'field' | 'variable' | 'string' | 'number' | 'character' | 'sign';
  /** The word, the name of the field or of the variable without its first character, the number, or the sign; the unquoted string. */
  readonly text: string;
  readonly spaced: boolean;
  /** In the template. */
  readonly offset: number;
}

const open = '${{';
const close = '}}';
const comment = /\/\*[^]*?\*\/(\s-)?\}\}/y;
const word = /[\p{L}_][\p{L}\p{Nd}_]*/uy;
const number =
  /[+-]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO]?[0-7_]+(?![\d.eE])|(?:\d[\d_]*)?\.?\d+(?:[eE][+-]?\d+)?|\d[\d_]*\.)/y;
const quoted = /"(?:[^"\\\n]|\\.)*"/y;
const raw = /`[^`]*`/y;
const character = /'(?:[^'\\\n]|\\.)+'/y;

/** Takes a template apart into texts and the tokens of its actions. Errors: `template_invalid`. */
export function partsOf(template: string): Part[] {
  const parts: Part[] = [];
  let at = 0;
  let trim = false;
  while (at < template.length) {
    const begin = template.indexOf(open, at);
    let text = template.slice(at, begin < 0 ? undefined : begin);
    if (trim) text = text.replace(/^\s+/, '');
    const trimBefore =
      begin >= 0 && /^-\s/.test(template.slice(begin + open.length, begin + open.length + 2));
    if (trimBefore) text = text.trimEnd();
    if (text !== '') parts.push({ kind: 'text', text });
    if (begin < 0) break;
    at = begin + open.length + (trimBefore ? 1 : 0);
    const afterSpace = trimBefore ? at + (/^\s*/.exec(template.slice(at))?.[0].length ?? 0) : at;
    comment.lastIndex = afterSpace;
    const skipped = template.startsWith('/*', afterSpace) ? comment.exec(template) : null;
    if (template.startsWith('/*', afterSpace)) {
      if (skipped === null) throw templateInvalid('unclosed comment', begin);
      at = comment.lastIndex;
      trim = skipped[1] !== undefined;
      continue;
    }
    const action = readAction(template, at, begin);
    parts.push({ kind: 'action', tokens: action.tokens, offset: begin });
    ({ end: at, trim } = action);
  }
  return parts;
}

/** Reads the tokens of an action up to its end. */
function readAction(template: string, from: number, begin: number) {
  const tokens: Token[] = [];
  let at = from;
  let spaced = false;
  const take = (pattern: RegExp): string | null => {
    pattern.lastIndex = at;
    const found = pattern.exec(template)?.[0];
    return found === undefined || found === '' ? null : found;
  };
  const add = (kind: Token['kind'], text: string, length: number) => {
    tokens.push({ kind, text, spaced, offset: at });
    at += length;
    spaced = false;
  };
  while (at < template.length) {
    if (template.startsWith(close, at)) return { tokens, end: at + close.length, trim: false };
    const space = take(/\s+/y);
    if (space !== null) {
      at += space.length;
      spaced = true;
      if (template.startsWith(`-${close}`, at)) return { tokens, end: at + 1 + close.length, trim: true };
      continue;
    }
    const rest = template.slice(at, at + 2);
    let found: string | null;
    if (rest === ':=') add('sign', ':=', 2);
    else if ('|,()='.includes(rest.charAt(0))) add('sign', rest.charAt(0), 1);
    else if ((found = take(quoted)) !== null) add('string', unquoted(found, at), found.length);
    else if ((found = take(raw)) !== null) add('string', found.slice(1, -1), found.length);
    else if ((found = take(character)) !== null) {
      const points = Array.from(unquoted(found, at));
      if (points.length !== 1) throw templateInvalid(`malformed character constant: ${found}`, at);
      add('character', points[0] ?? '', found.length);
    } else if (/^(?:[+-]?\d|[+-]?\.\d)/.test(template.slice(at, at + 3)) && (found = take(number)) !== null) {
      if (/[\p{L}\p{Nd}_]/u.test(template.charAt(at + found.length)))
        throw templateInvalid(`bad number syntax: ${found}${template.charAt(at + found.length)}`, at);
      add('number', found, found.length);
    } else if (rest.startsWith('.')) {
      at += 1;
      found = take(word);
      at -= 1;
      if (found === null) add('sign', '.', 1);
      else add('field', found, found.length + 1);
    } else if (rest.startsWith('$')) {
      at += 1;
      found = take(word) ?? '';
      at -= 1;
      add('variable', found, found.length + 1);
    } else if ((found = take(word)) !== null) add('word', found, found.length);
    else throw templateInvalid(`unexpected ${JSON.stringify(rest.charAt(0))} in an expression`, at);
  }
  throw templateInvalid('unclosed expression', begin);
}

const escapes: Readonly<Record<string, string>> = {
  ...{ a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' },
  ...{ '\\': '\\', "'": "'", '"': '"' },
};

/** Returns the text that a quoted one stands for. Errors: `template_invalid`. */
function unquoted(literal: string, offset: number): string {
  const pattern = /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|([^]))/g;
  return literal
    .slice(1, -1)
    .replace(pattern, (_, hex?: string, short?: string, long?: string, octal?: string, one?: string) => {
      const digits = hex ?? short ?? long;
      const point = digits !== undefined ? Number.parseInt(digits, 16) : octal && Number.parseInt(octal, 8);
      if (typeof point === 'number') {
        if (point > 0x10ffff) throw templateInvalid(`invalid escape in ${literal}`, offset);
        return String.fromCodePoint(point);
      }
      const plain = escapes[one ?? ''];
      if (plain === undefined) throw templateInvalid(`invalid escape \\${one} in ${literal}`, offset);
      return plain;
    });
}
