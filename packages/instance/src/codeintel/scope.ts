import type { Mirror } from '@fumehood/git';
import type { CodeLocation, CodePrecision, CodeRange } from '@fumehood/protocol';
import type { Db } from '../db/connect.ts';
import { commitOf, mirrorIfAny } from '../repos/commit-files.ts';
import { type LineMap, readLineMap } from '../repos/line-map.ts';
import type { Mirrors } from '../repos/mirrors.ts';
import { nearestCommit } from '../repos/nearby.ts';
import { commitsCovering, uploadsCovering } from './sql/uploads.ts';

export interface CodeDeps {
  readonly db: Db;
  readonly mirrors: Mirrors;
}

/** A file of a repository; a revision that is missing is the default branch. */
export interface CodeFile {
  readonly repository: string;
  readonly revision?: string | undefined;
  readonly path: string;
}

/** The indexes that answer a question about a file. */
export interface Scope {
  readonly answer: {
    readonly repository: string;
    readonly commit: string;
    readonly precision: CodePrecision;
    readonly indexedCommit: string;
  };
  readonly uploads: readonly number[];
  /** Carries places of the indexed commit over to the commit of the question; null: they are the same. */
  readonly carrier: Carrier | null;
}

/** A file that no index covers: only its text can answer. */
export interface Unindexed {
  readonly repository: string;
  readonly commit: string;
  /** Null: the instance has no mirror of the repository. */
  readonly mirror: Mirror | null;
}

/** Files of one answer whose places are carried over: each takes processes of git. */
const filesMax = 20;

/** Carries lines over between the indexed commit and the commit of the question. */
export class Carrier {
  readonly mirror: Mirror;
  readonly #from: string;
  readonly #to: string;
  readonly #maps = new Map<string, Promise<LineMap | null>>();

  constructor(mirror: Mirror, from: string, to: string) {
    this.mirror = mirror;
    this.#from = from;
    this.#to = to;
  }

  /** Returns the map of a file's lines; null for one that is not in both commits, and after too many files. */
  async mapOf(path: string): Promise<LineMap | null> {
    const known = this.#maps.get(path);
    if (known !== undefined) return await known;
    if (this.#maps.size === filesMax) return null;
    const map = readLineMap(this.mirror, this.#from, this.#to, path);
    this.#maps.set(path, map);
    return await map;
  }

  /** Carries a place over. One whose lines changed keeps the indexed commit. */
  async location<T extends CodeLocation>(one: T, repository: string): Promise<T> {
    if (one.repository !== repository || one.commit !== this.#from) return one;
    const map = await this.mapOf(one.path);
    const range = map === null ? null : carriedRange(one, map);
    return range === null ? one : { ...one, ...range, commit: this.#to };
  }
}

/** Returns where a range is in the commit of the question; null if one of its ends changed. */
export function carriedRange(
  { line, character, endLine, endCharacter }: CodeRange,
  map: LineMap,
): CodeRange | null {
  const [first, last] = [map.toNew(line), map.toNew(endLine)];
  return first === null || last === null ? null : { line: first, character, endLine: last, endCharacter };
}

/**
 * Returns which indexes answer for a file: those of the commit, or of the nearest earlier commit that has one and the file. Errors: those of
 * `commitOf`.
 */
export async function scopeOf(
  deps: CodeDeps,
  { repository, revision, path }: CodeFile,
): Promise<Scope | Unindexed> {
  const { db } = deps;
  const commit = await commitOf(deps, repository, revision ?? null);
  const uploads = await uploadsCovering(db, { repository, commit, path });
  const exact = { repository, commit, precision: 'exact' as const, indexedCommit: commit };
  if (uploads.length > 0) return { answer: exact, uploads, carrier: null };
  const mirror = await mirrorIfAny(deps, repository);
  if (mirror === null) return { repository, commit, mirror };
  const indexedCommit = await nearestCommit(mirror, commit, await commitsCovering(db, { repository, path }));
  if (indexedCommit === null) return { repository, commit, mirror };
  const carrier = new Carrier(mirror, indexedCommit, commit);
  if ((await carrier.mapOf(path)) === null) return { repository, commit, mirror };
  return {
    answer: { repository, commit, precision: 'nearby', indexedCommit },
    uploads: await uploadsCovering(db, { repository, commit: indexedCommit, path }),
    carrier,
  };
}
