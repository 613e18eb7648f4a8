import { Readable } from 'node:stream';
import type { Spawn } from '@fumehood/base';
import { collect, FumehoodError, type SpawnedProcess } from '@fumehood/base';
import { exportCommit, type Mirror } from '@fumehood/git';
import type { Db } from '../db/connect.ts';
import { packageOfRepository } from '../dependencies/packages.ts';
import { emptyCommit, packOfEmptyCommit } from './empty-commit.ts';
import { backendFailed, mirrorMissing, repositoryNotFound, revisionNotFound } from './errors.ts';
import {
  anyCase,
  catFiles,
  checkFiles,
  grepFilesFor,
  listPaths,
  type Mirrors,
  revisionPattern,
  revParse,
} from './mirrors.ts';
import { type GitOutput, readGit } from './read-git.ts';
import { placeOf } from './records.ts';
import type { CommitStore } from './store.ts';

/** Bytes of the paths of a commit that are read, all together. */
const pathBytesMax = 64 * 2 ** 20;
/** Bytes of a commit, without its files, that are read. */
const commitBytesMax = 1_048_576;
/** How long git may read objects, milliseconds. */
const runMs = 600_000;

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

/** Returns the mirror of a repository; null if it has none: clients send the commits of some. */
export async function mirrorIfAny(
  { db, mirrors }: { readonly db: Db; readonly mirrors: Mirrors },
  repository: string,
): Promise<Mirror | null> {
  try {
    return await mirrorOf(db, mirrors, repository);
  } catch (error) {
    if (error instanceof FumehoodError && ['repository_not_found', 'mirror_missing'].includes(error.code))
      return null;
    throw error;
  }
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

/** What the files of a commit are searched for. */
interface Content {
  readonly text: string;
  /** Whether the text is a POSIX extended regular expression. */
  readonly isPattern: boolean;
  readonly isCaseSensitive: boolean;
}

/** Returns the paths of the text files of a commit that have a text. Errors: `git_failed`, also for a pattern that is none. */
export async function grepFiles(mirror: Mirror, commit: string, content: Content): Promise<string[]> {
  const { text, isPattern, isCaseSensitive } = content;
  const args = [...grepFilesFor[isPattern ? 'pattern' : 'text'], ...(isCaseSensitive ? [] : [anyCase])];
  const child = await mirror.git('git grep', [...args, '-e', text, commit, '--']);
  const { code, stdout } = await run(child, pathBytesMax);
  // 1: no file has it.
  if (code !== 0 && code !== 1) throw backendFailed(`git grep ended with ${code}`);
  const found = stdout.toString('utf8').split('\0');
  return found
    .filter((one) => one !== '' && !one.includes('\ufffd'))
    .map((one) => one.slice(commit.length + 1));
}

/** A file of a commit. */
interface FileBlob {
  readonly object: string;
  /** Bytes. */
  readonly size: number;
}

/** Returns the files with these paths of these commits, null for what is none. Errors: `git_failed`. */
export async function findFiles(
  mirror: Mirror,
  wanted: readonly { readonly commit: string; readonly path: string }[],
): Promise<(FileBlob | null)[]> {
  const names = wanted.map(({ commit, path }) => (isAskable(path) ? `${commit}:${path}` : ''));
  const asked = names.filter((name) => name !== '');
  const input = asked.map((name) => `${name}\n`).join('');
  const child = await mirror.git('git cat-file', checkFiles);
  // Git repeats the name of what is missing.
  const { code, stdout } = await run(child, Buffer.byteLength(input) + 200 * asked.length, input);
  if (code !== 0) throw backendFailed(`git cat-file ended with ${code}`);
  const lines = stdout.toString('latin1').split('\n');
  let next = 0;
  return names.map((name) => {
    const line = name === '' ? '' : (lines[next++] ?? '');
    const [, object = null, size] = /^([0-9a-f]{40}) blob (\d+)$/.exec(line) ?? [];
    return object === null ? null : { object, size: Number(size) };
  });
}

/** `git cat-file` reads a line for each object, and ends at a path that begins in a directory of its own. */
const isAskable = (path: string) => !path.includes('\n') && !/^\.\.?\//.test(path);

/**
 * Returns the contents of files of a commit that are UTF-8 and at most `maxBytes` long; other ones are missing, and are not read. Errors:
 * `git_failed`.
 */
export async function readFiles(
  mirror: Mirror,
  commit: string,
  paths: readonly string[],
  maxBytes: number,
): Promise<Map<string, string>> {
  const blobs = await findFiles(
    mirror,
    paths.map((path) => ({ commit, path })),
  );
  const wanted = paths.flatMap((path, at) => {
    const blob = blobs[at];
    return blob && blob.size <= maxBytes ? [{ path, ...blob }] : [];
  });
  const found = new Map<string, string>();
  if (wanted.length === 0) return found;
  const heads = wanted.map(({ object, size }) => `${object} blob ${size}\n`);
  const bytes = wanted.reduce((sum, { size }, at) => sum + (heads[at] ?? '').length + size + 1, 0);
  const input = wanted.map(({ object }) => `${object}\n`).join('');
  const { code, stdout } = await run(await mirror.git('git cat-file', catFiles), bytes, input);
  if (code !== 0) throw backendFailed(`git cat-file ended with ${code}`);
  let at = 0;
  for (const [index, { path, size }] of wanted.entries()) {
    at += (heads[index] ?? '').length;
    try {
      found.set(path, new TextDecoder('utf-8', { fatal: true }).decode(stdout.subarray(at, at + size)));
    } catch {} // no text
    at += size + 1;
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
  if (packageOfRepository(repository) !== null) {
    if (commit !== emptyCommit) return false;
    await commits.add(repository, commit, Readable.from([packOfEmptyCommit()]));
    return true;
  }
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
async function run(child: SpawnedProcess, bytes: number, input = ''): Promise<GitOutput> {
  const output = await readGit(child, { bytes, ms: runMs }, input);
  if (output.isCut) throw backendFailed(`its output is larger than ${bytes} bytes, or took too long`);
  return output;
}
