/**
 * What an expression has as its value. A number is a whole one; JSON's numbers and those with a point are a `Float`, as templates that compare
 * the two fail.
 */
export type Value = string | number | Float | boolean | null | readonly Value[] | ValueMap;

/** A map, whose keys are sorted wherever all of it is shown. */
export type ValueMap = ReadonlyMap<string, Value>;

/** A floating-point number. */
export class Float {
  readonly number: number;
  constructor(number: number) {
    this.number = number;
  }
}

/** A list that is shown as its items with blanks between them, without brackets. */
export class SpacedList extends Array<string> {}

export const isList = (value: Value): value is readonly Value[] => Array.isArray(value);
export const isMap = (value: Value): value is ValueMap => value instanceof Map;

/** Returns a map's entries by key. */
export const sortedEntries = (map: ValueMap): [string, Value][] =>
  [...map].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));

/** Returns whether a condition takes a value for true: everything but false, 0, null and what is empty. */
export function isTrue(value: Value): boolean {
  if (value instanceof Float) return value.number !== 0;
  if (isList(value)) return value.length > 0;
  if (isMap(value)) return value.size > 0;
  return value !== null && value !== false && value !== 0 && value !== '';
}

/** Returns the name of a value's type in errors. */
export function typeOf(value: Value): string {
  if (value === null) return 'nil';
  if (value instanceof Float) return 'float64';
  if (isList(value)) return 'list';
  if (isMap(value)) return 'map';
  return { string: 'string', number: 'int', boolean: 'bool' }[
    typeof value as 'string' | 'number' | 'boolean'
  ];
}

/** Returns a value as text: `[a b]` for a list, `map[k:v]` for a map. */
export function textOf(value: Value): string {
  if (value === null) return '<nil>';
  if (value instanceof Float) return floatText(value.number);
  if (value instanceof SpacedList) return value.join(' ');
  if (isList(value)) return `[${value.map(textOf).join(' ')}]`;
  if (isMap(value))
    return `map[${sortedEntries(value)
      .map(([key, one]) => `${key}:${textOf(one)}`)
      .join(' ')}]`;
  return String(value);
}

/** Returns the shortest text of a number, with an exponent of two digits below 1e-4 and from 1e21 on. */
export function floatText(number: number): string {
  if (Number.isNaN(number)) return 'NaN';
  if (!Number.isFinite(number)) return number < 0 ? '-Inf' : '+Inf';
  if (Object.is(number, -0)) return '-0';
  const size = Math.abs(number);
  if (size !== 0 && (size < 1e-4 || size >= 1e21)) return longExponent(number.toExponential());
  return String(number);
}

/** Returns a number's text with at least two digits in its exponent. */
export const longExponent = (text: string): string =>
  text.replace(/e([+-])(\d)$/, (_, sign: string, digit: string) => `e${sign}0${digit}`);

/** Returns what JSON or YAML was parsed to as a value. `floats`: all numbers are floating-point numbers, as in JSON. */
export function valueFrom(parsed: unknown, floats: boolean): Value {
  if (parsed === null || parsed === undefined) return null;
  if (typeof parsed === 'string' || typeof parsed === 'boolean') return parsed;
  if (typeof parsed === 'number') return floats || !Number.isSafeInteger(parsed) ? new Float(parsed) : parsed;
  if (Array.isArray(parsed)) return parsed.map((one) => valueFrom(one, floats));
  if (typeof parsed === 'object')
    return new Map(Object.entries(parsed).map(([key, one]) => [key, valueFrom(one, floats)]));
  throw new TypeError('neither JSON nor YAML has such a value');
}
