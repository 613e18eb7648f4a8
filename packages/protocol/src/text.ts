/** Checks whether a database can store a text: PostgreSQL's text holds no NUL and no half of a surrogate pair. */
export function isStorable(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}

/**
 * Returns a text that a database can store: `\u2400` (the symbol for NUL) for each NUL, `\uFFFD` for each half of a surrogate pair.
 * For texts that whoever sends them has from others, such as the last lines of a step: these must not be refused.
 */
export function storableText(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\u2400');
}
