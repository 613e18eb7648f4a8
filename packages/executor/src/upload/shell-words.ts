/** Characters that have no special meaning in any POSIX shell and locale, anywhere in a word. */
const plainCharacter = /[A-Za-z0-9_./:@%+=,-]/;
/** Characters that a backslash escapes between double quotes. Before every other character, the backslash stands for itself. */
const escapedInQuotes = new Set(['$', '`', '"', '\\']);
/** Characters that start an expansion between double quotes; `!` does in shells with a history. */
const expandedInQuotes = new Set(['$', '`', '!']);

/**
 * Splits a line that is one command to a POSIX shell, and in which the shell has nothing to do but remove quotes, into its words.
 * Returns null for every other line: with an expansion, a substitution, a pattern, a redirection, a second command, a comment,
 * control characters or an open quote.
 */
export function shellWords(line: string): string[] | null {
  // oxlint-disable-next-line no-control-regex -- control characters are what is refused
  if (!line.isWellFormed() || /[\x00-\x08\x0a-\x1f\x7f]/.test(line)) return null;
  const words: string[] = [];
  let at = 0;
  while (at < line.length) {
    if (line[at] === ' ' || line[at] === '\t') {
      at += 1;
      continue;
    }
    const word = readWord(line, at);
    if (!word) return null;
    words.push(word.text);
    at = word.end;
  }
  return words.length > 0 ? words : null;
}

interface Piece {
  readonly text: string;
  /** The offset after its last character. */
  readonly end: number;
}

function readWord(line: string, start: number): Piece | null {
  let text = '';
  let end = start;
  while (end < line.length && line[end] !== ' ' && line[end] !== '\t') {
    const piece = readPiece(line, end);
    if (!piece) return null;
    text += piece.text;
    end = piece.end;
  }
  return { text, end };
}

function readPiece(line: string, start: number): Piece | null {
  const first = line[start] ?? '';
  if (first === "'") {
    const end = line.indexOf("'", start + 1);
    return end === -1 ? null : { text: line.slice(start + 1, end), end: end + 1 };
  }
  if (first === '"') return readDoubleQuoted(line, start + 1);
  if (first === '\\') {
    // Only ASCII: a shell that reads bytes would escape only the first byte of another character.
    const next = line[start + 1] ?? '';
    return /[!-~ ]/.test(next) ? { text: next, end: start + 2 } : null;
  }
  return plainCharacter.test(first) ? { text: first, end: start + 1 } : null;
}

function readDoubleQuoted(line: string, start: number): Piece | null {
  let text = '';
  for (let at = start; at < line.length; at += 1) {
    const character = line[at] ?? '';
    const next = line[at + 1] ?? '';
    if (character === '"') return { text, end: at + 1 };
    if (expandedInQuotes.has(character)) return null;
    if (character === '\\' && escapedInQuotes.has(next)) {
      text += next;
      at += 1;
    } else text += character;
  }
  return null;
}
