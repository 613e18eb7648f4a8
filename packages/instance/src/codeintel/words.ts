/** A place in a line, in UTF-16 code units from 0. */
export interface WordSpan {
  readonly character: number;
  readonly endCharacter: number;
}

/** Code units of the longest identifier that is looked for. */
export const wordMax = 128;
/** What precedes the name of a definition in many languages; a method of Go has a receiver in between. */
const definition =
  /(?<![\p{L}\p{N}_$])(?:function|class|def|interface|type|const|let|var|func|fn|struct|enum|trait|module)[\s*]+(?:\([^)]*\)\s*)?$/u;
/** Code units before a name that are looked at. */
const beforeMax = 200;

/** Returns the identifier in a line that holds a position or ends at it; null if there is none, or if it is long. */
export function identifierAt(line: string, character: number): string | null {
  for (const { 0: word, index } of identifiersIn(line)) {
    if (index > character) return null;
    // At a position between two identifiers there is a character that belongs to none.
    if (character <= index + word.length) return word.length <= wordMax && /^\P{N}/u.test(word) ? word : null;
  }
  return null;
}

/** Returns where a line has this identifier. */
export function* occurrencesOf(word: string, line: string): Generator<WordSpan> {
  for (const { 0: found, index } of identifiersIn(line))
    if (found === word) yield { character: index, endCharacter: index + word.length };
}

/** Whether the name at this place of a line looks like that of a definition. */
export function looksDefined(line: string, character: number): boolean {
  return definition.test(line.slice(Math.max(0, character - beforeMax), character));
}

const identifiersIn = (line: string) => line.matchAll(/[\p{L}\p{N}_$]+/gu);
