/** Characters that stand for themselves in every POSIX shell, in every locale, anywhere in a word. */
const plain = /[A-Za-z0-9_./:@%+=,-]/;
/** What a backslash takes the meaning from between double quotes; before anything else it is a character like others. */
const escapedInQuotes = new Set(['$', '`', '"', '\\']);
/** What would be expanded between double quotes; `!` is a history reference to some. */
const expandedInQuotes = new Set(['$', '`', '!']);

/**
 * The words of a line that is one command to a POSIX shell and leaves it nothing to do but quote removal; null for every other
 * line: an expansion, a substitution, a pattern, a redirection, a second command, a comment, control characters, an open quote.
 */
export function shellWords(line: string): string[] | null {
  // oxlint-disable-next-line no-control-regex -- they are what is refused
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
  /** Where it is over. */
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
    // Only ASCII: a shell that reads bytes would take half a character.
    const next = line[start + 1] ?? '';
    return /[!-~ ]/.test(next) ? { text: next, end: start + 2 } : null;
  }
  return plain.test(first) ? { text: first, end: start + 1 } : null;
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
