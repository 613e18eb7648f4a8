/**
 * What a terminal may take for a command, or shows at another place than where it was written: control characters, those that turn
 * the direction of text, separators of lines, and halves of surrogate pairs.
 */
const unprintable = /[\p{Cc}\p{Cs}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

const escaped = (character: string) => {
  const code = character.charCodeAt(0);
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`;
};

/**
 * Returns text that others wrote (names, versions, labels, errors, output) as one line that is safe on a terminal: each character
 * that a terminal would act on becomes an escape such as `\x1b`.
 */
export function printable(text: string): string {
  return text.replace(unprintable, escaped);
}

/** Like `printable`, for text of several lines, in which tabs are harmless too. */
export function printableLines(text: string): string {
  return text.replace(unprintable, (one) => (one === '\n' || one === '\t' ? one : escaped(one)));
}

/** Returns JSON with the same meaning that is safe on a terminal. `JSON.stringify` escapes only some control characters. */
export function printableJson(value: unknown): string {
  return JSON.stringify(value).replace(
    unprintable,
    (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
