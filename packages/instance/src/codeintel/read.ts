import { isLocal } from '@fumehood/scip';
import type { Db } from '../db/connect.ts';
import { occurrencesAround } from './ranges.ts';
import { readFirstDocuments, readLocal, readOccurrencesNear } from './sql/parts.ts';
import { findDefinitionsIn, type Location } from './sql/uses.ts';

/** An example looks through this many documents. */
const exampleDocuments = 50;

/**
 * Returns where the symbols at a position are defined: of every occurrence around the position, the narrowest first, each place
 * once. Empty when no symbol is there, or when this upload does not define it.
 */
export async function definitionsAt(
  db: Db,
  id: number,
  at: { readonly path: string; readonly line: number; readonly character: number },
): Promise<Location[]> {
  const { occurrences } = await readOccurrencesNear(db, id, at.path, at.line);
  const found = new Map<string, Location>();
  for (const [, , , , symbol] of occurrencesAround(occurrences, at)) {
    const places = isLocal(symbol)
      ? await localDefinitions(db, id, at.path, symbol)
      : await findDefinitionsIn(db, id, [symbol]);
    for (const place of places) found.set(`${place.path}:${place.line}:${place.character}`, place);
  }
  return [...found.values()];
}

/**
 * Returns the first reference, by path and line, whose definition is in another document; else the first one in its own, or null. With `into`, a
 * directory, the reference is outside of it and the definition below it.
 */
export async function exampleOf(
  db: Db,
  id: number,
  into: string | null,
): Promise<{ readonly query: Location; readonly definition: Location } | null> {
  let near: { query: Location; definition: Location } | null = null;
  for (const { path, occurrences } of await readFirstDocuments(db, id, exampleDocuments, into)) {
    const references = occurrences.filter(
      // A symbol that ends with a slash is a file or a namespace, which makes a poor example.
      ([, , , , symbol, isDefinition]) => isDefinition === 0 && !isLocal(symbol) && !symbol.endsWith('/'),
    );
    const symbols = [...new Set(references.map(([, , , , symbol]) => symbol))];
    const definitions = new Map(
      (await findDefinitionsIn(db, id, symbols))
        .filter((place) => into === null || place.path.startsWith(into))
        .map((place) => [place.symbol, place]),
    );
    for (const [line, character, , , symbol] of references) {
      const definition = definitions.get(symbol);
      if (!definition) continue;
      const query = { path, line, character, symbol };
      if (definition.path !== path) return { query, definition };
      near ??= { query, definition };
    }
  }
  return near;
}

/** Returns where a document defines a symbol that only this document knows. */
async function localDefinitions(db: Db, id: number, path: string, local: string): Promise<Location[]> {
  return (await readLocal(db, id, path, local))
    .filter(([, , , , , isDefinition]) => isDefinition === 1)
    .map(([line, character, , , symbol]) => ({ path, line, character, symbol }));
}
