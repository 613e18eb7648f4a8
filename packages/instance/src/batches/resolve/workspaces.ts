import { type BatchSpec, isStepWantedAnyway, matchesGlob } from '@fumehood/batch-spec';
import { batchQueryInvalid, tooManyWorkspaces, workspacesOverlap } from '../errors.ts';
import type { Catalog } from './catalog.ts';
import { eachOf, findPlaces, type Place, workspacesMax } from './places.ts';

/** Where the steps of a batch spec run. */
export interface Workspace {
  readonly repository: string;
  /** `refs/heads/…`. */
  readonly branch: string;
  readonly commit: string;
  /** The directory, without a slash at either end; empty for the root. */
  readonly path: string;
  readonly onlyFetchWorkspace: boolean;
  /** The paths that queries have found in the directory, from the root of the repository, sorted. */
  readonly fileMatches: readonly string[];
  /** Whether its repository has a `.batchignore`. */
  readonly ignored: boolean;
  /** Whether nothing can be pushed to where its repository comes from. */
  readonly unsupported: boolean;
  /** The steps, from 0, whose conditions are false whatever happens. */
  readonly skippedSteps: readonly number[];
}

/**
 * Returns the workspaces of a batch spec by repository, directory and branch, also those that are ignored or unsupported. One in which no
 * step would run is left out. Errors: those of `findPlaces`, `batch_workspaces_overlap`, `template_invalid`.
 */
export async function resolveWorkspaces(spec: BatchSpec, catalog: Catalog): Promise<Workspace[]> {
  const workspaces: Workspace[] = [];
  await eachOf(await findPlaces(spec, catalog), async (place) => {
    const skippedSteps = stepsSkipped(spec, place.repository);
    if (skippedSteps.length === (spec.steps ?? []).length) return;
    const entry = entryFor(spec, place.repository);
    const paths = await catalog.paths(place);
    const roots = entry === null ? [''] : rootsOf(paths, entry.rootAtLocationOf);
    const { repository, branch, commit } = place;
    for (const path of roots)
      workspaces.push({
        ...{ repository, branch, commit, path, skippedSteps },
        onlyFetchWorkspace: path !== '' && entry?.onlyFetchWorkspace === true,
        fileMatches: matchesBelow(place, path),
        ignored: paths.includes('.batchignore'),
        unsupported: !place.isSupported,
      });
  });
  if (workspaces.length > workspacesMax) throw tooManyWorkspaces(workspacesMax);
  return workspaces.sort(
    (a, b) => order(a.repository, b.repository) || order(a.path, b.path) || order(a.branch, b.branch),
  );
}

const order = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);

/** Returns the entry of `workspaces` for a repository; null: there is none. */
function entryFor(spec: BatchSpec, repository: string): NonNullable<BatchSpec['workspaces']>[number] | null {
  const [entry = null, other] = (spec.workspaces ?? []).filter(({ in: pattern }) => {
    if (pattern === undefined) return true;
    try {
      return matchesGlob(repository, pattern);
    } catch (error) {
      throw batchQueryInvalid(pattern, (error as Error).message);
    }
  });
  if (other !== undefined) throw workspacesOverlap(repository);
  return entry;
}

/** Returns the directories that have a file of this name. */
function rootsOf(paths: readonly string[], name: string): string[] {
  const found = paths.filter((path) => path === name || path.endsWith(`/${name}`));
  return found.map((path) => path.slice(0, -name.length - 1));
}

const matchesBelow = ({ fileMatches }: Place, path: string) =>
  path === '' ? fileMatches : fileMatches.filter((match) => match.startsWith(`${path}/`));

/** Returns the steps whose conditions are false in a repository whatever happens. */
function stepsSkipped({ name, description = '', steps = [] }: BatchSpec, repository: string): number[] {
  const known = { repository: { name: repository }, batchChange: { name, description } };
  return [...steps.keys()].filter((at) => isStepWantedAnyway(steps[at]?.if, known) === false);
}
