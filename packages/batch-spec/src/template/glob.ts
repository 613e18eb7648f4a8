/** Longest pattern, UTF-16 code units. */
const patternMax = 1_000;

/**
 * Returns whether a text matches a glob pattern, in which `*` and `**` stand for any characters (also `/`), `?` for one, `[a-z]` and `[!a-z]` for one of a
 * class, and `{a,b}` for alternatives. Takes time proportional to the product of the lengths. Throws an `Error` for a pattern that is none.
 */
export function matchesGlob(text: string, pattern: string): boolean {
  if (pattern.length > patternMax) throw new Error(`a pattern has at most ${patternMax} characters`);
  const characters = Array.from(text);
  return matchEnds(parseGlob(pattern), characters, new Set([0])).has(characters.length);
}

type Piece =
  | { readonly kind: 'any' }
  | { readonly kind: 'character'; readonly has: (one: string) => boolean }
  | { readonly kind: 'alternatives'; readonly lists: readonly (readonly Piece[])[] };

/** Returns where in the text a match of all pieces can end that begins at one of these places. */
function matchEnds(
  pieces: readonly Piece[],
  text: readonly string[],
  begins: ReadonlySet<number>,
): Set<number> {
  let places = new Set(begins);
  for (const piece of pieces) {
    const next = new Set<number>();
    if (piece.kind === 'any') {
      const first = Math.min(...places);
      for (let at = first; at <= text.length; at += 1) next.add(at);
    } else if (piece.kind === 'alternatives')
      for (const list of piece.lists) for (const end of matchEnds(list, text, places)) next.add(end);
    else
      for (const at of places) {
        const one = text[at];
        if (one !== undefined && piece.has(one)) next.add(at + 1);
      }
    if (next.size === 0) return next;
    places = next;
  }
  return places;
}

function parseGlob(pattern: string): Piece[] {
  const characters = Array.from(pattern);
  let at = 0;
  const list = (inside: boolean): Piece[] => {
    const pieces: Piece[] = [];
    while (at < characters.length) {
      const one = characters[at] as string;
      if (inside && (one === ',' || one === '}')) break;
      at += 1;
      if (one === '*') {
        if (pieces.at(-1)?.kind !== 'any') pieces.push({ kind: 'any' });
      } else if (one === '?') pieces.push({ kind: 'character', has: () => true });
      else if (one === '[') pieces.push(readClass());
      else if (one === '{') pieces.push(readAlternatives());
      else {
        const literal = one === '\\' ? characters[at++] : one;
        if (literal === undefined) throw new Error('the pattern ends with a backslash');
        pieces.push({ kind: 'character', has: (other) => other === literal });
      }
    }
    return pieces;
  };
  const readAlternatives = (): Piece => {
    const lists: Piece[][] = [];
    for (;;) {
      lists.push(list(true));
      const end = characters[at++];
      if (end === '}') return { kind: 'alternatives', lists };
      if (end === undefined) throw new Error('the pattern has a { without a }');
    }
  };
  const readClass = (): Piece => {
    const isNot = characters[at] === '!';
    if (isNot) at += 1;
    const ranges: [string, string][] = [];
    for (;;) {
      const low = characters[at++];
      if (low === undefined) throw new Error('the pattern has a [ without a ]');
      if (low === ']') break;
      const from = low === '\\' ? (characters[at++] ?? '') : low;
      if (characters[at] === '-' && characters[at + 1] !== ']') {
        at += 1;
        ranges.push([from, characters[at++] ?? '']);
      } else ranges.push([from, from]);
    }
    return {
      kind: 'character',
      has: (one) => ranges.some(([low, high]) => one >= low && one <= high) !== isNot,
    };
  };
  return list(false);
}
