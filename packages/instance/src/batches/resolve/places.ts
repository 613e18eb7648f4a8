import type { BatchSpec } from '@fumehood/batch-spec';
import { tooManyWorkspaces } from '../errors.ts';
import type { Branch, Catalog } from './catalog.ts';
import { type Alternative, parseQuery, type NameCondition, type Query } from './query.ts';

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
  const places: Place[] = [];
  await eachOf(await catalog.defaultBranches(), async (at) => {
    const found = new Set<string>();
    let isFound = false;
    for (const alternative of query.alternatives) {
      const paths = await matchesIn(alternative, query.isCaseSensitive, catalog, at);
      isFound ||= paths !== null;
      for (const path of paths ?? []) found.add(path);
    }
    if (isFound) places.push({ ...at, fileMatches: query.selectsRepositories ? [] : [...found].sort() });
  });
  return places;
}

/** Returns the paths that conditions find on a branch; null: they do not find the branch. Conditions for repositories alone find no paths. */
async function matchesIn(
  { repositories, having, files, contents }: Alternative,
  isCaseSensitive: boolean,
  catalog: Catalog,
  at: Branch,
): Promise<readonly string[] | null> {
  if (!holds(repositories, at.repository)) return null;
  for (const { isNot, matches, content } of having) {
    const paths = content === null ? catalog.paths(at) : catalog.grep(at, content, isCaseSensitive);
    if ((await paths).some((path) => matches?.(path) ?? true) === isNot) return null;
  }
  if (files.length === 0 && contents.length === 0) return [];
  const wanted = contents.filter(({ isNot }) => !isNot);
  let paths: readonly string[] | null = null;
  for (const content of wanted) {
    const set: ReadonlySet<string> = new Set(await catalog.grep(at, content, isCaseSensitive));
    paths = paths === null ? [...set] : paths.filter((path) => set.has(path));
    if (paths.length === 0) return null;
  }
  paths = (paths ?? (await catalog.paths(at))).filter((path) => holds(files, path));
  for (const content of contents.filter(({ isNot }) => isNot)) {
    const denied = new Set(await catalog.grep(at, content, isCaseSensitive));
    paths = paths.filter((path) => !denied.has(path));
  }
  return paths.length === 0 ? null : paths;
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
