import {
  Float,
  floatText,
  isList,
  isMap,
  longExponent,
  sortedEntries,
  textOf,
  typeOf,
  type Value,
} from './value.ts';

/** Widest field and longest fraction of a format. */
const widthMax = 10_000;

/** What stands between `%` and the verb. */
interface Flags {
  readonly minus: boolean;
  readonly plus: boolean;
  readonly sharp: boolean;
  readonly blank: boolean;
  readonly zero: boolean;
  readonly width: number | null;
  readonly precision: number | null;
}

/** Returns values as text in the way of Go's `fmt.Sprintf`, for the verbs of texts, numbers and truth values. */
export function formatted(format: string, values: readonly Value[]): string {
  let next = 0;
  const number = (text: string | undefined): number | null => {
    if (text === undefined || text === '') return null;
    const value = text === '*' ? values[next++] : Number(text);
    if (typeof value !== 'number') return null;
    if (Math.abs(value) > widthMax) throw new Error(`a field of a format has at most ${widthMax} characters`);
    return value;
  };
  const verb = /%([-+# 0]*)(\*|\d+)?(?:\.(\*|\d+)?)?([^])?/gu;
  const text = format.replace(
    verb,
    (all: string, flags: string, width?: string, fraction?: string, letter?: string) => {
      if (letter === undefined) return '%!(NOVERB)';
      if (letter === '%') return '%';
      const hasPoint = all.includes('.');
      const wide = number(width);
      const given: Flags = {
        minus: flags.includes('-') || (wide ?? 0) < 0,
        plus: flags.includes('+'),
        sharp: flags.includes('#'),
        blank: flags.includes(' '),
        zero: flags.includes('0') && !flags.includes('-'),
        width: wide === null ? null : Math.abs(wide),
        precision: hasPoint ? (number(fraction) ?? 0) : null,
      };
      if (next >= values.length) return `%!${letter}(MISSING)`;
      return one(letter, values[next++] ?? null, given);
    },
  );
  if (next >= values.length) return text;
  const extra = values.slice(next).map((value) => `${typeOf(value)}=${textOf(value)}`);
  return `${text}%!(EXTRA ${extra.join(', ')})`;
}

/** Returns one value by a verb. */
function one(letter: string, value: Value, flags: Flags): string {
  if (letter === 'T') return padded(typeOf(value), flags);
  if (isList(value)) return `[${value.map((item) => one(letter, item, flags)).join(' ')}]`;
  if (isMap(value))
    return `map[${sortedEntries(value)
      .map(([key, item]) => `${one(letter, key, flags)}:${one(letter, item, flags)}`)
      .join(' ')}]`;
  const wrong = () => `%!${letter}(${value === null ? '<nil>' : `${typeOf(value)}=${textOf(value)}`})`;
  if (value === null) return letter === 'v' ? padded('<nil>', flags) : wrong();
  if (typeof value === 'string') return textBy(letter, value, flags) ?? wrong();
  if (typeof value === 'boolean') return 'tv'.includes(letter) ? padded(String(value), flags) : wrong();
  if (value instanceof Float) return floatBy(letter, value.number, flags) ?? wrong();
  return wholeBy(letter, value, flags) ?? wrong();
}

function textBy(letter: string, value: string, flags: Flags): string | null {
  const { precision } = flags;
  const cut = precision === null ? value : Array.from(value).slice(0, precision).join('');
  if (letter === 's' || (letter === 'v' && !flags.sharp)) return padded(cut, flags);
  if (letter === 'q' || letter === 'v')
    return padded(flags.sharp && letter === 'q' && !cut.includes('`') ? `\`${cut}\`` : quoted(cut), flags);
  if (letter === 'x' || letter === 'X') {
    const hex = Buffer.from(cut).toString('hex');
    return padded(letter === 'X' ? hex.toUpperCase() : hex, flags);
  }
  return null;
}

function wholeBy(letter: string, value: number, flags: Flags): string | null {
  const base = { d: 10, v: 10, b: 2, o: 8, O: 8, x: 16, X: 16 }[letter];
  if (base !== undefined) {
    let digits = Math.abs(value).toString(base);
    if (flags.precision !== null) digits = digits.padStart(flags.precision, '0');
    if (letter === 'X') digits = digits.toUpperCase();
    const sharp = { b: '0b', o: '0', x: '0x', X: '0X' }[letter];
    const prefix = letter === 'O' ? '0o' : flags.sharp ? (sharp ?? '') : '';
    return signed(value < 0, prefix + digits, { ...flags, zero: flags.zero && flags.precision === null });
  }
  if (letter === 'c' || letter === 'q' || letter === 'U') {
    const known = value >= 0 && value <= 0x10ffff ? value : 0xfffd;
    if (letter === 'U') return padded(`U+${known.toString(16).toUpperCase().padStart(4, '0')}`, flags);
    const character = String.fromCodePoint(known);
    return padded(letter === 'c' ? character : `'${quoted(character).slice(1, -1)}'`, flags);
  }
  return null;
}

function floatBy(letter: string, value: number, flags: Flags): string | null {
  const size = Math.abs(value);
  const { precision } = flags;
  let text: string;
  if (!Number.isFinite(value)) text = Number.isNaN(value) ? 'NaN' : 'Inf';
  else if (letter === 'f' || letter === 'F') text = size.toFixed(Math.min(precision ?? 6, 100));
  else if (letter === 'e' || letter === 'E')
    text = longExponent(size.toExponential(Math.min(precision ?? 6, 100)));
  else if (letter === 'g' || letter === 'G' || letter === 'v')
    text =
      precision === null
        ? floatText(size)
        : longExponent(trimmed(size.toPrecision(Math.min(Math.max(precision, 1), 100))));
  else return null;
  return signed(value < 0, letter === 'E' || letter === 'G' ? text.toUpperCase() : text, flags);
}

/** Returns a number's text without zeros at the end of its fraction. */
const trimmed = (text: string): string => (text.includes('.') ? text.replace(/\.?0+(e|$)/, '$1') : text);

/** Returns digits with their sign, in the width that the flags ask for. */
function signed(isNegative: boolean, digits: string, flags: Flags): string {
  const sign = isNegative ? '-' : flags.plus ? '+' : flags.blank ? ' ' : '';
  if (flags.zero && flags.width !== null) return sign + digits.padStart(flags.width - sign.length, '0');
  return padded(sign + digits, flags);
}

function padded(text: string, { width, minus, zero }: Flags): string {
  if (width === null) return text;
  const missing = Math.max(0, width - Array.from(text).length);
  return minus ? text + ' '.repeat(missing) : (zero ? '0' : ' ').repeat(missing) + text;
}

/** Returns a text in double quotes, with Go's escapes. */
function quoted(text: string): string {
  const named: Readonly<Record<string, string>> = {
    ...{ '\x07': '\\a', '\b': '\\b', '\f': '\\f', '\n': '\\n', '\r': '\\r', '\t': '\\t', '\v': '\\v' },
    ...{ '"': '\\"', '\\': '\\\\' },
  };
  const escaped = text.replace(/["\\]|[\p{Cc}\p{Cf}\p{Cs}\p{Cn}\p{Co}\p{Zl}\p{Zp}]/gu, (character) => {
    const point = character.codePointAt(0) ?? 0;
    const hex = point.toString(16);
    if (named[character] !== undefined) return named[character];
    if (point < 0x80) return `\\x${hex.padStart(2, '0')}`;
    return point < 0x10000 ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`;
  });
  return `"${escaped}"`;
}
