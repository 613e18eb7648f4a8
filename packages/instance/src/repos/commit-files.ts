import { collect, FumehoodError, type SpawnedProcess } from '@fumehood/base';
import { exportCommit, type Mirror } from '@fumehood/git';
import type { Spawn } from '@fumehood/base';
import type { Db } from '../db/connect.ts';
import { backendFailed, mirrorMissing, repositoryNotFound, revisionNotFound } from './errors.ts';
import { catFiles, listPaths, type Mirrors, revisionPattern, revParse } from './mirrors.ts';
import { placeOf } from './records.ts';
import type { CommitStore } from './store.ts';

/** Bytes of the paths of a commit that are read, all together. */
const pathBytesMax = 64 * 2 ** 20;
/** Bytes of a commit, without its files, that are read. */
const commitBytesMax = 1_048_576;

/** Returns the mirror of a repository. Errors: `repository_not_found`, also before the first sync, `mirror_missing`. */
export async function mirrorOf(db: Db, mirrors: Mirrors, repository: string): Promise<Mirror> {
  const place = await placeOf(db, repository);
  if (place === null) throw repositoryNotFound(repository);
  return await mirrors.open(place).catch((error: unknown) => {
    // A backup has no mirrors: the next sync makes it anew.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw mirrorMissing(repository);
    throw error;
  });
}

/**
 * Returns the commit that a revision names: a branch, a tag, or a commit or the beginning of one; null: the default branch. Errors:
 * `revision_not_found`.
 */
export async function resolveRevision(mirror: Mirror, revision: string | null): Promise<string> {
  const named = revision ?? mirror.refs.head ?? 'HEAD';
  if (!new RegExp(`^${revisionPattern.source}$`).test(named)) throw revisionNotFound(named);
  const { code, stdout } = await run(
    await mirror.git('git rev-parse', [...revParse, `${named}^{commit}`]),
    100,
  );
  const commit = stdout.toString('latin1').trim();
  if (code !== 0 || !/^[0-9a-f]{40}$/.test(commit)) throw revisionNotFound(named);
  return commit;
}

/**
 * Returns the commit that a revision of a repository names. A repository whose commits clients send has no branches: only a whole commit is
 * one. Errors: `repository_not_found`, `revision_not_found`.
 */
export async function commitOf(
  { db, mirrors }: { readonly db: Db; readonly mirrors: Mirrors },
  repository: string,
  revision: string | null,
): Promise<string> {
  if ((await placeOf(db, repository)) === null && /^[0-9a-f]{40}$/.test(revision ?? ''))
    return revision ?? '';
  return await resolveRevision(await mirrorOf(db, mirrors, repository), revision);
}

/** Returns the paths of the files of a commit. Errors: `git_failed`, also for a commit with too many. */
export async function readPaths(mirror: Mirror, commit: string): Promise<string[]> {
  const { code, stdout } = await run(await mirror.git('git ls-tree', [...listPaths, commit]), pathBytesMax);
  if (code !== 0) throw backendFailed(`git ls-tree ended with ${code}`);
  const paths = stdout.toString('utf8').split('\0');
  return paths.filter((path) => path !== '' && !path.includes('\ufffd'));
}

/** Returns the contents of files of a commit that are UTF-8 and at most `maxBytes` long; other ones are missing. Errors: `git_failed`. */
export async function readFiles(
  mirror: Mirror,
  commit: string,
  paths: readonly string[],
  maxBytes: number,
): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  // `git cat-file --batch` reads a line for each object.
  for (const path of paths.filter((one) => !one.includes('\n'))) {
    const child = await mirror.git('git cat-file', catFiles);
    child.stdin.end(`${commit}:${path}\n`);
    const output = await collect(child.stdout, maxBytes + 200).catch(() => null);
    if (output === null) {
      child.kill();
      continue;
    }
    const [head = '', size] = /^[0-9a-f]{40} blob (\d+)\n/.exec(output.toString('latin1', 0, 100)) ?? [];
    if (head === '') continue;
    const bytes = output.subarray(head.length, head.length + Number(size));
    try {
      found.set(path, new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    } catch {} // no text
  }
  return found;
}

/** Returns when a commit was made, seconds since 1970; null if it does not say. */
export async function readCommitTime(mirror: Mirror, commit: string): Promise<number | null> {
  const child = await mirror.git('git cat-file', catFiles);
  child.stdin.end(`${commit}\n`);
  child.stderr.resume();
  const output = await collect(child.stdout, commitBytesMax).catch(() => null);
  if (output === null) child.kill();
  const [head = ''] = output?.toString('latin1').split('\n\n') ?? [];
  const time = /^committer .* (\d{1,12}) [+-]\d{4}$/m.exec(head)?.[1];
  return time === undefined ? null : Number(time);
}

/** Puts a commit of a mirror into the store from which jobs fetch. Returns false if the instance has no such repository or commit. */
export async function provideCommit(
  {
    db,
    mirrors,
    commits,
    spawn,
  }: { readonly db: Db; readonly mirrors: Mirrors; readonly commits: CommitStore; readonly spawn: Spawn },
  repository: string,
  commit: string,
): Promise<boolean> {
  if (commits.find(repository, commit) !== null) return true;
  try {
    const mirror = await mirrorOf(db, mirrors, repository);
    if ((await resolveRevision(mirror, commit)) !== commit) return false;
    await commits.add(repository, commit, exportCommit(spawn, mirror, commit));
    return true;
  } catch (error) {
    const code = error instanceof FumehoodError ? error.code : '';
    if (['repository_not_found', 'revision_not_found', 'mirror_missing'].includes(code)) return false;
    throw error;
  }
}

/** Runs git to its end. Returns its exit code and its output. Errors: `git_failed` when that is too long. */
async function run(
  child: SpawnedProcess,
  maxBytes: number,
): Promise<{ code: number | null; stdout: Buffer }> {
  child.stdin.end();
  child.stderr.resume();
  const stdout = await collect(child.stdout, maxBytes).catch((error: unknown) => {
    child.kill();
    throw backendFailed((error as Error).message);
  });
  return { code: (await child.exited).code, stdout };
}
