import { descriptorOf, isLocal, packageOf } from '@fumehood/scip';
import type {
  CodeCallers,
  CodeHover,
  CodeLocation,
  CodeLocations,
  CodePrecision,
  CodeRange,
  CodeSymbols,
} from '@fumehood/protocol';
import type { Db } from '../db/connect.ts';
import { badRequest } from '../errors.ts';
import { commitOf } from '../repos/commit-files.ts';
import type { Mirrors } from '../repos/mirrors.ts';
import { notIndexed } from './errors.ts';
import {
  readDescription,
  readOccurrences,
  readOwnDescription,
  type StoredOccurrence,
  type UseKind,
  useKinds,
} from './sql/documents.ts';
import { uploadsCovering, uploadsOf } from './sql/uploads.ts';
import { findUses, type UploadScope, type UseRow } from './sql/uses.ts';
import { symbolKey } from './symbol-key.ts';

interface CodeDeps {
  readonly db: Db;
  readonly mirrors: Mirrors;
}

/** A file of a repository; a revision that is missing is the default branch. */
interface CodeFile {
  readonly repository: string;
  readonly revision?: string | undefined;
  readonly path: string;
}
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

/** What answers a question: the indexes of a commit that cover a file. */
interface Scope {
  readonly answer: {
    readonly repository: string;
    readonly commit: string;
    readonly precision: CodePrecision;
    readonly indexedCommit: string;
  };
  readonly uploads: readonly number[];
}

/** An occurrence, and the upload that has it. */
interface Found {
  readonly upload: number;
  readonly occurrence: StoredOccurrence;
  /** All of the document. */
  readonly document: readonly StoredOccurrence[];
}

/**
 * Returns where the symbols at a place are defined: of every occurrence around it, the narrowest first, each place once; in the indexes of the commit,
 * or else in other repositories' latest indexes of the same version of the symbol's package. Errors: `not_indexed`, and those of `commitOf`.
 */
export async function findDefinitions({ db, mirrors }: CodeDeps, place: CodePlace): Promise<CodeLocations> {
  const { answer, uploads } = await scopeOf({ db, mirrors }, place);
  const locations = new Map<string, CodeLocation>();
  for (const found of await occurrencesAt(db, uploads, place)) {
    const symbol = found.occurrence[4];
    const places = isLocal(symbol)
      ? localLocations(answer, place.path, found, 1)
      : await definitionsOf(db, answer, symbol);
    for (const one of places)
      locations.set([one.repository, one.path, one.line, one.character].join(':'), one);
  }
  return { ...answer, locations: [...locations.values()], next: null };
}

/** Returns where the symbol at a place is referred to, first in its own repository and then in others. Errors: as `findDefinitions`. */
export function findReferences(deps: CodeDeps, place: CodePage): Promise<CodeLocations> {
  return findPage(deps, place, useKinds.reference);
}

/** Returns what implements the symbol at a place. Errors: as `findDefinitions`. */
export function findImplementations(deps: CodeDeps, place: CodePage): Promise<CodeLocations> {
  return findPage(deps, place, useKinds.implementation);
}

/** Returns where the symbol at a place is referred to, and in which definition. Errors: as `findDefinitions`. */
export async function findCallers(deps: CodeDeps, place: CodePage): Promise<CodeCallers> {
  const { locations, ...answer } = await findReferences(deps, place);
  const documents = new Map<string, Promise<StoredOccurrence[]>>();
  const documentOf = ({ upload, path }: CodeLocation) => {
    const key = `${upload}:${path}`;
    let document = documents.get(key);
    if (document === undefined) {
      document = readOccurrences(deps.db, upload ?? 0, path);
      documents.set(key, document);
    }
    return document;
  };
  const callers: CodeCallers['callers'] = [];
  for (const at of locations) callers.push({ at, caller: callerOf(at, await documentOf(at)) });
  return { ...answer, callers };
}

/** Returns what the indexers wrote of the symbol at a place. Errors: as `findDefinitions`. */
export async function findHover(deps: CodeDeps, place: CodePlace): Promise<CodeHover> {
  const { db } = deps;
  const { answer, uploads } = await scopeOf(deps, place);
  const own = await uploadsOf(db, answer.repository, answer.indexedCommit);
  for (const { upload, occurrence } of await occurrencesAt(db, uploads, place)) {
    const symbol = occurrence[4];
    const text =
      (await readOwnDescription(db, upload, place.path, symbol)) ??
      (isLocal(symbol) ? null : await readDescription(db, own, symbol, symbolKey(symbol))) ??
      (await describedElsewhere(db, answer, symbol));
    if (text !== null) return { ...answer, hover: { symbol, text, range: rangeOf(occurrence) } };
  }
  return { ...answer, hover: null };
}

/** Returns what a file defines that other files can know. Errors: as `findDefinitions`. */
export async function findSymbols(deps: CodeDeps, file: CodeFile): Promise<CodeSymbols> {
  const { answer, uploads } = await scopeOf(deps, file);
  const symbols = new Map<string, CodeSymbols['symbols'][number]>();
  for (const upload of uploads)
    for (const occurrence of await readOccurrences(deps.db, upload, file.path)) {
      const [, , , , symbol, defines] = occurrence;
      const descriptor = defines === 1 ? descriptorOf(symbol) : null;
      const range = rangeOf(occurrence);
      // Indexers say that a file defines itself by an empty range.
      const isEmpty = range.line === range.endLine && range.character === range.endCharacter;
      if (descriptor !== null && !isEmpty)
        symbols.set(`${symbol} ${range.line}:${range.character}`, { ...range, symbol, ...descriptor });
    }
  return { ...answer, symbols: [...symbols.values()] };
}

async function scopeOf(deps: CodeDeps, { repository, revision, path }: CodeFile): Promise<Scope> {
  const commit = await commitOf(deps, repository, revision ?? null);
  const uploads = await uploadsCovering(deps.db, { repository, commit, path });
  if (uploads.length === 0) throw notIndexed(repository, commit, path);
  return { answer: { repository, commit, precision: 'exact', indexedCommit: commit }, uploads };
}

/** Returns the occurrences around a place, the narrowest first. */
async function occurrencesAt(db: Db, uploads: readonly number[], place: CodePlace): Promise<Found[]> {
  const found: Found[] = [];
  for (const upload of uploads) {
    const document = await readOccurrences(db, upload, place.path);
    for (const occurrence of document)
      if (occurrence[4] !== '' && covers(rangeOf(occurrence), place))
        found.push({ upload, occurrence, document });
  }
  return found.sort((a, b) => compareSize(rangeOf(a.occurrence), rangeOf(b.occurrence)));
}

/** Returns where a symbol is defined: in the indexes of the commit, or else elsewhere. */
async function definitionsOf(db: Db, answer: Scope['answer'], symbol: string): Promise<CodeLocation[]> {
  for (const where of scopes(symbol)) {
    const wanted = { symbols: [symbolKey(symbol)], kind: useKinds.definition };
    const rows = await findUses(db, scopeFor(answer, where), wanted, definitionsMax);
    if (rows.length > 0) return rows.flatMap((row) => locationsOf(row, symbol));
  }
  return [];
}

/** A symbol says something beyond its own commit only if it names a version of a package. */
const scopes = (symbol: string): UploadScope['where'][] =>
  packageOf(symbol) === null ? ['commit'] : ['commit', 'elsewhere'];

const scopeFor = (
  { repository, indexedCommit }: Scope['answer'],
  where: UploadScope['where'],
): UploadScope => ({
  repository,
  commit: indexedCommit,
  where,
});

async function findPage(deps: CodeDeps, place: CodePage, kind: UseKind): Promise<CodeLocations> {
  const { db } = deps;
  const { answer, uploads } = await scopeOf(deps, place);
  const [narrowest, ...others] = await occurrencesAt(db, uploads, place);
  if (narrowest === undefined) return { ...answer, locations: [], next: null };
  const range = rangeOf(narrowest.occurrence);
  const same = others.filter(({ occurrence }) => compareSize(rangeOf(occurrence), range) === 0);
  const found = [narrowest, ...same];
  const symbols = new Map<string, string>();
  for (const { occurrence } of found)
    if (!isLocal(occurrence[4])) symbols.set(symbolKey(occurrence[4]).toString('hex'), occurrence[4]);
  if (symbols.size === 0) {
    const locations = kind === useKinds.reference ? localLocations(answer, place.path, narrowest, 0) : [];
    return { ...answer, locations, next: null };
  }
  return { ...answer, ...(await readPage(db, answer, symbols, kind, place)) };
}

/** Where the next page begins: the row of `UseStart`, and how many locations of rows from there on the pages before have had. */
interface Cursor {
  readonly where: UploadScope['where'];
  readonly upload: number;
  readonly path: string;
  readonly document: number;
  readonly had: number;
}

/** Reads a page of what is done with symbols, by their keys. */
async function readPage(
  db: Db,
  answer: Scope['answer'],
  symbols: ReadonlyMap<string, string>,
  kind: UseKind,
  { limit, after }: CodePage,
): Promise<Pick<CodeLocations, 'locations' | 'next'>> {
  const keys = [...symbols.keys()].map((hex) => Buffer.from(hex, 'hex'));
  let cursor = after === undefined ? null : readCursor(after);
  const locations: CodeLocation[] = [];
  const reach = [...symbols.values()].some((symbol) => packageOf(symbol) !== null);
  for (const where of reach ? (['commit', 'elsewhere'] as const) : (['commit'] as const)) {
    if (cursor !== null && cursor.where !== where) continue;
    const rows = await findUses(
      db,
      scopeFor(answer, where),
      { symbols: keys, kind },
      limit + 1 + keys.length,
      cursor ?? undefined,
    );
    let skip = cursor?.had ?? 0;
    let group = '';
    let had = 0;
    for (const row of rows) {
      const key = `${row.upload}:${row.path}:${row.document}`;
      if (key !== group) had = 0;
      group = key;
      for (const location of locationsOf(row, symbols.get(row.symbol.toString('hex')) ?? '')) {
        if (locations.length === limit) {
          const { upload, path, document } = row;
          return { locations, next: writeCursor({ where, upload, path, document, had }) };
        }
        had += 1;
        if (skip > 0) skip -= 1;
        else locations.push(location);
      }
    }
    cursor = null;
  }
  return { locations, next: null };
}

const writeCursor = ({ where, upload, path, document, had }: Cursor) =>
  Buffer.from(JSON.stringify([where, upload, path, document, had])).toString('base64url');

/** Errors: `bad_request`. */
function readCursor(text: string): Cursor {
  try {
    const [where, upload, path, document, had] = JSON.parse(
      Buffer.from(text, 'base64url').toString(),
    ) as unknown[];
    const isNumber = [upload, document, had].every((one) => Number.isSafeInteger(one) && Number(one) >= 0);
    if (
      (where === 'commit' || where === 'elsewhere') &&
      typeof path === 'string' &&
      !path.includes('\0') &&
      isNumber
    )
      return { where, path, upload: Number(upload), document: Number(document), had: Number(had) };
  } catch {} // no JSON
  throw badRequest('`after` is not what an earlier page had as `next`');
}

/** Returns where a document defines (1) or refers to (0) a symbol that only this document knows. */
function localLocations(
  { repository, indexedCommit }: Scope['answer'],
  path: string,
  { upload, occurrence, document }: Found,
  defines: 0 | 1,
): CodeLocation[] {
  const symbol = occurrence[4];
  const place = { repository, commit: indexedCommit, path, symbol, upload, package: null };
  return document
    .filter((one) => one[4] === symbol && one[5] === defines)
    .map((one) => ({ ...rangeOf(one), ...place }));
}

/** Returns what other repositories' latest indexes say of a symbol. */
async function describedElsewhere(db: Db, answer: Scope['answer'], symbol: string): Promise<string | null> {
  if (packageOf(symbol) === null) return null;
  const wanted = { symbols: [symbolKey(symbol)], kind: useKinds.definition };
  const [row] = await findUses(db, scopeFor(answer, 'elsewhere'), wanted, 1);
  return row === undefined ? null : await readOwnDescription(db, row.upload, row.path, symbol);
}

/** Returns the narrowest definition whose whole range covers a place; null: none is known. */
function callerOf(
  at: CodeLocation,
  document: readonly StoredOccurrence[],
): CodeCallers['callers'][number]['caller'] {
  let caller: StoredOccurrence | null = null;
  for (const one of document)
    if (one.length > 6 && covers(wholeOf(one), at))
      if (caller === null || compareSize(wholeOf(one), wholeOf(caller)) < 0) caller = one;
  const name = caller === null ? undefined : descriptorOf(caller[4])?.name;
  return caller === null || name === undefined
    ? null
    : { ...at, ...rangeOf(caller), symbol: caller[4], name };
}

function locationsOf({ upload, repository, commit, path, ranges }: UseRow, symbol: string): CodeLocation[] {
  const locations: CodeLocation[] = [];
  for (let at = 0; at + 3 < ranges.length; at += 4) {
    const [line = 0, character = 0, endLine = 0, endCharacter = 0] = ranges.slice(at, at + 4);
    const range = { line, character, endLine, endCharacter };
    locations.push({ ...range, repository, commit, path, symbol, upload, package: null });
  }
  return locations;
}

const rangeOf = ([line, character, endLine, endCharacter]: StoredOccurrence): CodeRange => ({
  line,
  character,
  endLine,
  endCharacter,
});

/** The range of a whole definition, of an occurrence that has one. */
const wholeOf = ([, , , , , , line = 0, character = 0, endLine = 0, endCharacter = 0]: StoredOccurrence) => ({
  line,
  character,
  endLine,
  endCharacter,
});

function covers(
  range: CodeRange,
  { line, character }: { readonly line: number; readonly character: number },
): boolean {
  const begun = line > range.line || (line === range.line && character >= range.character);
  const over = line > range.endLine || (line === range.endLine && character >= range.endCharacter);
  return begun && !over;
}

/** Compares ranges by how many lines, and then characters, they have. */
function compareSize(a: CodeRange, b: CodeRange): number {
  return (
    a.endLine - a.line - (b.endLine - b.line) || a.endCharacter - a.character - (b.endCharacter - b.character)
  );
}
