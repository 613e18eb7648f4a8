/** What a shell reads as more than itself, wherever it is in a word. */
const special = /[\\'"`${[|&;<>()*?!]/g;

/** Returns a text as one word of a shell. A word that needs no quotes stays as it is. */
export function shellWord(text: string): string {
  if (text === '') return "''";
  if (!/[ \t\n]/.test(text)) return text.replace(special, String.raw`\$&`).replace(/^~/, String.raw`\~`);
  return text
    .split("'")
    .map((part) => (part === '' ? '' : `'${part}'`))
    .join(String.raw`\'`);
}

/** Returns a text as one word of a shell, if it is not such a word already. */
export function shellWordOnce(text: string): string {
  try {
    const [word, ...others] = shellWords(text);
    if (word !== undefined && others.length === 0 && shellWord(word) === text) return text;
  } catch {
    // It is no word: it has a quote without end.
  }
  return shellWord(text);
}

const piece = /[ \t\n]+|'([^']*)'|"((?:[^"\\]|\\[^])*)"|\\([^])|([^ \t\n'"\\]+)/gy;

/** Returns the words of a text as a shell reads them. Throws an `Error` for a quote or a backslash that nothing follows. */
export function shellWords(text: string): string[] {
  const words: string[] = [];
  let word: string | null = null;
  piece.lastIndex = 0;
  for (let at = 0; at < text.length; at = piece.lastIndex) {
    const found = piece.exec(text);
    if (found === null) throw new Error('a quote or a backslash has no end');
    const [, single, double, escaped, plain] = found;
    const part =
      escaped === '\n'
        ? ''
        : (single ??
          double?.replace(/\\([$`"\\\n])/g, (_, one) => (one === '\n' ? '' : one)) ??
          escaped ??
          plain);
    if (part !== undefined) word = (word ?? '') + part;
    else if (word !== null) {
      words.push(word);
      word = null;
    }
  }
  return word === null ? words : [...words, word];
}
