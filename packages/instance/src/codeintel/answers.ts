import { descriptorOf, isLocal } from '@fumehood/scip';
import type {
  CodeCallers,
  CodeHover,
  CodeLocation,
  CodeLocations,
  CodeRange,
  CodeSymbols,
} from '@fumehood/protocol';
import type { Db } from '../db/connect.ts';
import { notIndexed } from './errors.ts';
import { locationsOf, type Page, readWhole, scopeElsewhere, scopeFor } from './pages.ts';
import { compareSize, covers, occurrencesAround, rangeOf, wholeOf } from './ranges.ts';
import { carriedRange, type CodeDeps, type CodeFile, type Scope, scopeOf, type Unindexed } from './scope.ts';
import { searchWord } from './search.ts';
import {
  type RelationKind,
  readDescription,
  relationKinds,
  readOwnDescription,
  type UseKind,
  useKinds,
} from './sql/documents.ts';
import { readLocal, readOccurrences, readOccurrencesNear, type StoredOccurrence } from './sql/parts.ts';
import { uploadsOf } from './sql/uploads.ts';
import { findRelated, findUses } from './sql/uses.ts';
import { symbolKey } from './symbol-key.ts';

/** A place in a file; line and character count from 0. */
interface CodePlace extends CodeFile {
  readonly line: number;
  readonly character: number;
}
interface CodePage extends CodePlace {
  readonly limit: number;
  readonly after?: string | undefined;
}

/** Most definitions of a symbol that are answered. */
const definitionsMax = 100;
/** Most symbols whose places are also a symbol's. */
const symbolsMax = 10;
/** Most places that are guessed to be a definition: what looks like one comes first. */
const guessesMax = 10;

/** An occurrence, and the upload that has it. */
interface Found {
  readonly upload: number;
  readonly occurrence: StoredOccurrence;
  /** What the indexer wrote of this occurrence alone. */
  readonly documentation: string | null;
}

/**
 * Returns where the symbols at a place are defined: of every occurrence around it, the narrowest first, each place once; in the indexes of the commit,
 * or else in the index of the symbol's package or, without one, in other repositories' latest indexes of the same version of it. Errors: `not_indexed`, and those of `commitOf`.
 */
export async function findDefinitions(deps: CodeDeps, asked: CodePlace): Promise<CodeLocations> {
  const { db } = deps;
  const scope = await scopeOfPlace(deps, asked);
  if (!('place' in scope)) return await guess(scope, asked, guessesMax);
  const { answer, uploads, place } = scope;
  const locations = new Map<string, CodeLocation>();
  for (const found of (await occurrencesAt(db, uploads, place)).filter(isNamed)) {
    const symbol = found.occurrence[4];
    const places = isLocal(symbol)
      ? await localLocations(db, answer, place.path, found, 1)
      : await definitionsOf(db, answer, symbol);
    for (const one of places)
      locations.set([one.repository, one.path, one.line, one.character].join(':'), one);
  }
  return { ...answer, locations: await carryOver(scope, [...locations.values()]), next: null };
}

/** Returns where the symbol at a place is referred to, first in its own repository and then in others. Errors: as `findDefinitions`. */
export async function findReferences(deps: CodeDeps, asked: CodePage): Promise<CodeLocations> {
  const scope = await scopeOfPlace(deps, asked);
  if (!('place' in scope)) return await guess(scope, asked, asked.limit);
  const { locations, next } = await findPage(deps.db, scope, useKinds.reference);
  return { ...scope.answer, locations: await carryOver(scope, locations), next };
}

/** Returns what implements the symbol at a place. Errors: as `findDefinitions`. */
export async function findImplementations(deps: CodeDeps, asked: CodePage): Promise<CodeLocations> {
  const scope = indexed(await scopeOfPlace(deps, asked), asked);
  const { locations, next } = await findPage(deps.db, scope, useKinds.implementation);
  return { ...scope.answer, locations: await carryOver(scope, locations), next };
}

/** Returns where the symbol at a place is referred to, and in which definition. Errors: as `findDefinitions`. */
export async function findCallers(deps: CodeDeps, asked: CodePage): Promise<CodeCallers> {
  const scope = indexed(await scopeOfPlace(deps, asked), asked);
  const { locations, next } = await findPage(deps.db, scope, useKinds.reference);
  const documents = new Map<string, Promise<readonly StoredOccurrence[]>>();
  const definitionsIn = ({ upload, path }: CodeLocation) => {
    const key = `${upload}:${path}`;
    let definitions = documents.get(key);
    if (definitions === undefined) {
      definitions = readOccurrences(deps.db, upload ?? 0, path).then((all) =>
        all.filter((one) => wholeOf(one) !== null),
      );
      documents.set(key, definitions);
    }
    return definitions;
  };
  const callers: CodeCallers['callers'] = [];
  for (const location of locations) {
    const caller = callerOf(location, await definitionsIn(location));
    const [at = location] = await carryOver(scope, [location]);
    callers.push({ at, caller: caller && ((await carryOver(scope, [caller]))[0] ?? caller) });
  }
  return { ...scope.answer, callers, next };
}

/** Returns what the indexers wrote of the symbol at a place. Errors: as `findDefinitions`. */
export async function findHover(deps: CodeDeps, asked: CodePlace): Promise<CodeHover> {
  const { db } = deps;
  const { answer, uploads, place } = indexed(await scopeOfPlace(deps, asked), asked);
  const own = await uploadsOf(db, answer.repository, answer.indexedCommit);
  for (const { upload, occurrence, documentation } of await occurrencesAt(db, uploads, place)) {
    const symbol = occurrence[4];
    const text =
      documentation ??
      (await readOwnDescription(db, upload, place.path, symbol)) ??
      (isLocal(symbol) ? null : await readDescription(db, own, symbol, symbolKey(symbol))) ??
      (await describedElsewhere(db, answer, symbol));
    if (text === null) continue;
    const { line, endLine, ...range } = rangeOf(occurrence);
    const moved = asked.line - place.line;
    return {
      ...answer,
      hover: { symbol, text, range: { ...range, line: line + moved, endLine: endLine + moved } },
    };
  }
  return { ...answer, hover: null };
}

/** Returns what a file defines that other files can know, without what is in lines that changed. Errors: as `findDefinitions`. */
export async function findSymbols(deps: CodeDeps, file: CodeFile): Promise<CodeSymbols> {
  const scope = await scopeOf(deps, file);
  if (!('answer' in scope)) throw notIndexed(scope.repository, scope.commit, file.path);
  const { answer, uploads, carrier } = scope;
  const map = carrier && (await carrier.mapOf(file.path));
  const symbols = new Map<string, CodeSymbols['symbols'][number]>();
  for (const upload of uploads)
    for (const occurrence of await readOccurrences(deps.db, upload, file.path)) {
      const [, , , , symbol, defines] = occurrence;
      const descriptor = defines === 1 ? descriptorOf(symbol) : null;
      const range = map ? carriedRange(rangeOf(occurrence), map) : rangeOf(occurrence);
      if (descriptor === null || range === null) continue;
      // Indexers say that a file defines itself by an empty range.
      if (range.line === range.endLine && range.character === range.endCharacter) continue;
      symbols.set(`${symbol} ${range.line}:${range.character}`, { ...range, symbol, ...descriptor });
    }
  return { ...answer, symbols: [...symbols.values()] };
}

/** Indexes that answer, and the place in the commit that they are of. */
type PlaceScope<P extends CodePlace> = Scope & { readonly place: P };

/** Returns what answers for a place. A line that is not in the indexed commit has no index. Errors: those of `scopeOf`. */
async function scopeOfPlace<P extends CodePlace>(
  deps: CodeDeps,
  place: P,
): Promise<PlaceScope<P> | Unindexed> {
  const scope = await scopeOf(deps, place);
  if (!('answer' in scope)) return scope;
  if (scope.carrier === null) return { ...scope, place };
  const line = (await scope.carrier.mapOf(place.path))?.toOld(place.line) ?? null;
  const { repository, commit } = scope.answer;
  return line === null
    ? { repository, commit, mirror: scope.carrier.mirror }
    : { ...scope, place: { ...place, line } };
}

/** Errors: `not_indexed`. */
function indexed<P extends CodePlace>(scope: PlaceScope<P> | Unindexed, { path }: CodePlace): PlaceScope<P> {
  if ('place' in scope) return scope;
  throw notIndexed(scope.repository, scope.commit, path);
}

/** Guesses places by a search for the word at a place. Errors: `not_indexed` where there is no mirror to search. */
async function guess(
  { repository, commit, mirror }: Unindexed,
  place: CodePlace,
  limit: number,
): Promise<CodeLocations> {
  if (mirror === null) throw notIndexed(repository, commit, place.path);
  const found = (await searchWord(mirror, commit, place)).slice(0, limit);
  const locations = found.map(({ path, line, character, endCharacter }) => ({
    ...{ repository, commit, path, line, character, endLine: line, endCharacter },
    ...{ symbol: '', upload: null, package: null },
  }));
  return { repository, commit, precision: 'guess', indexedCommit: null, locations, next: null };
}

/** Carries places over to the commit of the question, as far as that can be done. */
async function carryOver<T extends CodeLocation>(
  { answer, carrier }: Scope,
  locations: readonly T[],
): Promise<T[]> {
  if (carrier === null) return [...locations];
  const carried: T[] = [];
  for (const one of locations) carried.push(await carrier.location(one, answer.repository));
  return carried;
}

/** Returns the occurrences around a place, the narrowest first. */
async function occurrencesAt(db: Db, uploads: readonly number[], place: CodePlace): Promise<Found[]> {
  const found: Found[] = [];
  for (const upload of uploads) {
    const { occurrences, documentation } = await readOccurrencesNear(db, upload, place.path, place.line);
    for (const occurrence of occurrencesAround(occurrences, place, documentation))
      found.push({ upload, occurrence, documentation: documentation.get(occurrence) ?? null });
  }
  return found.sort((a, b) => compareSize(rangeOf(a.occurrence), rangeOf(b.occurrence)));
}

const isNamed = ({ occurrence }: Found) => occurrence[4] !== '';

/** Returns where a symbol is defined, or the symbols whose definitions are its: in the indexes of the commit, or else elsewhere. */
async function definitionsOf(db: Db, answer: Scope['answer'], symbol: string): Promise<CodeLocation[]> {
  const found: CodeLocation[] = [];
  for (const other of await relatedTo(db, answer, [symbol], relationKinds.definition))
    found.push(...(await ownDefinitionsOf(db, answer, other)));
  return found.length > 0 ? found.slice(0, definitionsMax) : await ownDefinitionsOf(db, answer, symbol);
}

async function ownDefinitionsOf(db: Db, answer: Scope['answer'], symbol: string): Promise<CodeLocation[]> {
  const wanted = { symbols: [symbolKey(symbol)], kind: useKinds.definition };
  let rows = await findUses(db, scopeFor(answer, 'commit'), wanted, definitionsMax);
  const elsewhere = rows.length > 0 ? null : await scopeElsewhere(db, answer, symbol);
  if (elsewhere !== null) rows = await findUses(db, elsewhere, wanted, definitionsMax);
  return rows.flatMap((row) => locationsOf(row, symbol)).slice(0, definitionsMax);
}

/** Returns the symbols that the indexes of the commit say symbols are related to, or else other indexes. */
async function relatedTo(
  db: Db,
  answer: Scope['answer'],
  symbols: readonly string[],
  kind: RelationKind,
): Promise<string[]> {
  if (symbols.length === 0) return [];
  const wanted = { symbols: symbols.map(symbolKey), kind };
  const related = await findRelated(db, scopeFor(answer, 'commit'), wanted, symbolsMax);
  for (const symbol of symbols) {
    if (related.length > 0) break;
    const elsewhere = await scopeElsewhere(db, answer, symbol);
    if (elsewhere !== null) related.push(...(await findRelated(db, elsewhere, wanted, symbolsMax)));
  }
  return related;
}

async function findPage(db: Db, scope: PlaceScope<CodePage>, kind: UseKind): Promise<Page> {
  const { answer, uploads, place } = scope;
  const [narrowest, ...others] = (await occurrencesAt(db, uploads, place)).filter(isNamed);
  if (narrowest === undefined) return { locations: [], next: null };
  const range = rangeOf(narrowest.occurrence);
  const same = others.filter(({ occurrence }) => {
    const { line, character } = rangeOf(occurrence);
    return (
      line === range.line && character === range.character && compareSize(rangeOf(occurrence), range) === 0
    );
  });
  const symbols = new Map<string, string>();
  for (const { occurrence } of [narrowest, ...same])
    if (!isLocal(occurrence[4])) symbols.set(symbolKey(occurrence[4]).toString('hex'), occurrence[4]);
  const local: CodeLocation[] = [];
  if (kind === useKinds.reference) {
    for (const found of [narrowest, ...same])
      if (isLocal(found.occurrence[4]))
        local.push(...(await localLocations(db, answer, place.path, found, 0)));
    for (const symbol of await relatedTo(db, answer, [...symbols.values()], relationKinds.references))
      symbols.set(symbolKey(symbol).toString('hex'), symbol);
  }
  return await readWhole(db, answer, { local, symbols }, kind, place);
}

/** Returns where a document defines (1) or refers to (0) a symbol that only this document knows. */
async function localLocations(
  db: Db,
  { repository, indexedCommit }: Scope['answer'],
  path: string,
  { upload, occurrence }: Found,
  defines: 0 | 1,
): Promise<CodeLocation[]> {
  const symbol = occurrence[4];
  const place = { repository, commit: indexedCommit, path, symbol, upload, package: null };
  return (await readLocal(db, upload, path, symbol))
    .filter((one) => one[5] === defines)
    .map((one) => ({ ...rangeOf(one), ...place }));
}

/** Returns what the index of a symbol's package says of it, or other repositories' latest indexes do. */
async function describedElsewhere(db: Db, answer: Scope['answer'], symbol: string): Promise<string | null> {
  const elsewhere = await scopeElsewhere(db, answer, symbol);
  if (elsewhere === null) return null;
  const wanted = { symbols: [symbolKey(symbol)], kind: useKinds.definition };
  const [row] = await findUses(db, elsewhere, wanted, 1);
  return row === undefined ? null : await readOwnDescription(db, row.upload, row.path, symbol);
}

/** Returns the narrowest of these definitions whose whole range covers a place; null: none is known. */
function callerOf(
  at: CodeLocation,
  definitions: readonly StoredOccurrence[],
): CodeCallers['callers'][number]['caller'] {
  let caller: StoredOccurrence | null = null;
  let whole: CodeRange | null = null;
  for (const one of definitions) {
    const range = wholeOf(one);
    if (range === null || !covers(range, at) || (whole !== null && compareSize(range, whole) >= 0)) continue;
    caller = one;
    whole = range;
  }
  const name = caller === null ? undefined : descriptorOf(caller[4])?.name;
  return caller === null || name === undefined
    ? null
    : { ...at, ...rangeOf(caller), symbol: caller[4], name };
}
