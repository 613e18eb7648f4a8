import type { BatchSpec } from '@fumehood/batch-spec';
import { tooManyWorkspaces } from '../errors.ts';
import type { Branch, Catalog } from './catalog.ts';
import { parseQuery, type NameCondition, type Query } from './query.ts';

/** A branch on which a batch spec runs, with the paths of the files that its queries have found there. */
export interface Place extends Branch {
  readonly fileMatches: readonly string[];
}

/** Repositories that are searched at the same time. */
const concurrency = 4;
/** The most workspaces of a batch spec. */
export const workspacesMax = 5_000;

/**
 * Returns the branches that `on` names, each once. An entry with a repository goes before queries that find the same repository. Errors:
 * `batch_query_invalid`, `repository_not_found`, `revision_not_found`, `too_many_workspaces`.
 */
export async function findPlaces(spec: BatchSpec, catalog: Catalog): Promise<Place[]> {
  const entries = spec.on ?? [];
  const queries = entries.flatMap(({ repositoriesMatchingQuery: query }) =>
    query === undefined ? [] : [parseQuery(query, spec.version === 2)],
  );
  const explicit = new Map<string, Place>();
  for (const { repository, branch, branches } of entries) {
    if (repository === undefined) continue;
    for (const name of branches ?? [branch ?? null]) {
      const found = await catalog.branch(repository, name);
      explicit.set(JSON.stringify([found.repository, found.branch]), { ...found, fileMatches: [] });
    }
  }
  const named = new Set([...explicit.values()].map(({ repository }) => repository));
  const found = new Map<string, Place>();
  for (const query of queries)
    for (const place of await search(query, catalog)) {
      if (named.has(place.repository)) continue;
      const before = found.get(place.repository)?.fileMatches ?? [];
      const fileMatches = [...new Set([...before, ...place.fileMatches])].sort();
      found.set(place.repository, { ...place, fileMatches });
    }
  const places = [...explicit.values(), ...found.values()];
  if (places.length > workspacesMax) throw tooManyWorkspaces(workspacesMax);
  return places;
}

/** Returns the default branches that a query finds. */
async function search(query: Query, catalog: Catalog): Promise<Place[]> {
  const branches = (await catalog.defaultBranches()).filter(({ repository }) =>
    holds(query.repositories, repository),
  );
  const places: Place[] = [];
  await eachOf(branches, async (at) => {
    const paths = await matchesIn(query, catalog, at);
    if (paths !== null) places.push({ ...at, fileMatches: query.selectsRepositories ? [] : paths });
  });
  return places;
}

/** Returns the paths that a query finds on a branch; null: it does not find the branch. A query for repositories alone finds no paths. */
async function matchesIn(query: Query, catalog: Catalog, at: Branch): Promise<string[] | null> {
  const { files, contents, isCaseSensitive } = query;
  if (files.length === 0 && contents.length === 0) return [];
  const wanted = contents.filter(({ isNot }) => !isNot);
  let paths: readonly string[] | null = null;
  for (const content of wanted) {
    const having = await catalog.grep(at, content, isCaseSensitive);
    const set: ReadonlySet<string> = new Set(having);
    paths = paths === null ? having : paths.filter((path) => set.has(path));
    if (paths.length === 0) return null;
  }
  paths = (paths ?? (await catalog.paths(at))).filter((path) => holds(files, path));
  for (const content of contents.filter(({ isNot }) => isNot)) {
    const having = new Set(await catalog.grep(at, content, isCaseSensitive));
    paths = paths.filter((path) => !having.has(path));
  }
  return paths.length === 0 ? null : paths.toSorted();
}

const holds = (conditions: readonly NameCondition[], name: string) =>
  conditions.every(({ isNot, matches }) => matches(name) !== isNot);

/** Runs `run` for all items, a few at the same time. */
export async function eachOf<T>(items: readonly T[], run: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  const work = async () => {
    for (const item of rest) await run(item);
  };
  await Promise.all(Array.from({ length: concurrency }, work));
}
