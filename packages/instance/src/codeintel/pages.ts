import { packageOf } from '@fumehood/scip';
import type { CodeLocation, CodeLocations } from '@fumehood/protocol';
import type { Db } from '../db/connect.ts';
import { dependencyOf, packageOfRepository, repositoryOfPackage } from '../dependencies/packages.ts';
import { badRequest } from '../errors.ts';
import { emptyCommit } from '../repos/empty-commit.ts';
import type { Scope } from './scope.ts';
import type { UseKind } from './sql/documents.ts';
import { uploadsOf } from './sql/uploads.ts';
import { findUses, type UploadScope, type UseRow } from './sql/uses.ts';

/** A page of locations, and where the next one begins. */
export type Page = Pick<CodeLocations, 'locations' | 'next'>;

/** Where the next page begins: the row of `UseStart`, and how many locations of rows from there on the pages before have had. */
interface Cursor {
  /** `document`: among the places of symbols that only the document of the question knows. */
  readonly where: UploadScope['where'] | 'document';
  readonly upload: number;
  readonly path: string;
  readonly document: number;
  readonly had: number;
}

/** Reads a page of what is done with symbols, by their keys. Errors: `bad_request` for an `after` that no page had as `next`. */
async function readPage(
  db: Db,
  answer: Scope['answer'],
  symbols: ReadonlyMap<string, string>,
  kind: UseKind,
  { limit, after }: { readonly limit: number; readonly after?: string | undefined },
): Promise<Page> {
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

/**
 * Reads a page of what is done with the symbols of a place: first the places of those that only its document knows, and then as `readPage`. Indexers
 * write two symbols where a name stands for two things, as in `{ name }`.
 */
export async function readWhole(
  db: Db,
  answer: Scope['answer'],
  {
    local,
    symbols,
  }: { readonly local: readonly CodeLocation[]; readonly symbols: ReadonlyMap<string, string> },
  kind: UseKind,
  { limit, after }: { readonly limit: number; readonly after?: string | undefined },
): Promise<Page> {
  const cursor = after === undefined ? null : readCursor(after);
  if (cursor !== null && cursor.where !== 'document')
    return await readPage(db, answer, symbols, kind, { limit, after });
  const had = cursor?.had ?? 0;
  const locations = local.slice(had, had + limit);
  const start = { upload: 0, path: '', document: 0 };
  if (had + locations.length < local.length)
    return { locations, next: writeCursor({ ...start, where: 'document', had: had + locations.length }) };
  if (symbols.size === 0) return { locations, next: null };
  if (locations.length === limit)
    return { locations, next: writeCursor({ ...start, where: 'commit', had: 0 }) };
  const rest = await readPage(db, answer, symbols, kind, { limit: limit - locations.length });
  return { locations: [...locations, ...rest.locations], next: rest.next };
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
      (where === 'commit' || where === 'elsewhere' || where === 'document') &&
      typeof path === 'string' &&
      !path.includes('\0') &&
      isNumber
    )
      return { where, path, upload: Number(upload), document: Number(document), had: Number(had) };
  } catch {} // no JSON
  throw badRequest('`after` is not what an earlier page had as `next`');
}

/** Returns the uploads of the indexed commit, or the others. */
export const scopeFor = (
  { repository, indexedCommit }: Scope['answer'],
  where: UploadScope['where'],
): UploadScope => ({
  repository,
  commit: indexedCommit,
  where,
});

/**
 * Returns the uploads that say what a symbol is that no upload of the commit defines. The index of its package is the only one, if there is one:
 * it was made of what the registry has, and no repository can say something else. Null: the symbol means nothing beyond its own commit.
 */
export async function scopeElsewhere(
  db: Db,
  answer: Scope['answer'],
  symbol: string,
): Promise<UploadScope | null> {
  if (packageOf(symbol) === null) return null;
  const dependency = dependencyOf(symbol);
  if (dependency !== null) {
    const repository = repositoryOfPackage(dependency);
    const indexes = await uploadsOf(db, repository, emptyCommit);
    if (indexes.length > 0) return { repository, commit: emptyCommit, where: 'commit' };
  }
  return scopeFor(answer, 'elsewhere');
}

/** Returns the places of a row, whose symbol is this one. */
export function locationsOf(
  { upload, repository, commit, path, ranges }: UseRow,
  symbol: string,
): CodeLocation[] {
  const locations: CodeLocation[] = [];
  const of = packageOfRepository(repository);
  for (let at = 0; at + 3 < ranges.length; at += 4) {
    const [line = 0, character = 0, endLine = 0, endCharacter = 0] = ranges.slice(at, at + 4);
    const range = { line, character, endLine, endCharacter };
    locations.push({ ...range, repository, commit, path, symbol, upload, package: of });
  }
  return locations;
}
