import { diffInvalid } from './errors.ts';

/** What git writes for these characters in a quoted name, after a backslash. */
const escapes: Readonly<Record<string, number>> = {
  ...{ a: 7, b: 8, t: 9, n: 10, v: 11, f: 12, r: 13 },
  ...{ '"': 34, '\\': 92 },
};
const quoted = /"((?:[^"\\\p{Cc}]|\\(?:[abtnvfr"\\]|[0-3][0-7]{2}))*)"/uy;

/** Returns the name in quotes at the beginning of a text, and what follows it. Errors: `diff_invalid`. */
function takeQuoted(text: string): { readonly name: string; readonly rest: string } {
  quoted.lastIndex = 0;
  const found = quoted.exec(text);
  if (!found) throw diffInvalid('a name in quotes is malformed');
  const inner = found[1] ?? '';
  const pieces = inner.match(/\\(?:[0-7]{3}|.)|[^\\]+/gu) ?? [];
  const bytes = Buffer.concat(
    pieces.map((piece) => {
      if (!piece.startsWith('\\')) return Buffer.from(piece);
      return Buffer.from([escapes[piece.slice(1)] ?? Number.parseInt(piece.slice(1), 8)]);
    }),
  );
  try {
    const name = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    return { name, rest: text.slice(found[0].length) };
  } catch {
    throw diffInvalid('a name in it is not UTF-8');
  }
}

/** Returns the name that the whole text is, in quotes or without. Errors: `diff_invalid`. */
export function readName(text: string): string {
  if (!text.startsWith('"')) {
    if (/["\\\p{Cc}]/u.test(text)) throw diffInvalid('a name in it has to be in quotes');
    return text;
  }
  const { name, rest } = takeQuoted(text);
  if (rest !== '') throw diffInvalid('something follows a name in quotes');
  return name;
}

/** The names after `diff --git`: a list of all the ways to read them, because names may have spaces. */
export type NamePair = readonly [old: string, next: string];

/**
 * Returns the two names of the line after `diff --git `. `moved`: those that the lines after it name; without them both have to be
 * the same. Errors: `diff_invalid`.
 */
export function readNames(text: string, moved: NamePair | null): NamePair {
  const found = pairIn(text, moved);
  const [old, next] = found;
  if (moved ? old !== moved[0] || next !== moved[1] : old !== next)
    throw diffInvalid('the names in its headers differ', next);
  return found;
}

function pairIn(text: string, moved: NamePair | null): NamePair {
  if (text.startsWith('"')) {
    const { name, rest } = takeQuoted(text);
    if (!rest.startsWith(' ')) throw diffInvalid('a header lacks a name', name);
    return [name, readName(rest.slice(1))];
  }
  const quote = text.indexOf(' "');
  if (quote >= 0) return [readName(text.slice(0, quote)), readName(text.slice(quote + 1))];
  // Where the first name ends, if names have spaces, only its length can tell.
  const end = moved ? moved[0].length : (text.length - 1) / 2;
  if (text[end] !== ' ') throw diffInvalid('the names in its headers differ', text);
  return [readName(text.slice(0, end)), readName(text.slice(end + 1))];
}
