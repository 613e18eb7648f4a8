import type { Mirror } from '@fumehood/git';
import { backendFailed } from './errors.ts';
import { ancestors, ancestorsMax, missing } from './mirrors.ts';
import { readGit } from './read-git.ts';

/** How long git may walk through a history, milliseconds. */
const walkMs = 5_000;

/**
 * Returns the newest of these commits that is the commit itself or an ancestor of it, among the 1,000 newest ones; null if none is. Errors:
 * `git_failed`, also for a commit that the mirror does not have.
 */
export async function nearestCommit(
  mirror: Mirror,
  commit: string,
  candidates: ReadonlySet<string>,
): Promise<string | null> {
  if (candidates.size === 0) return null;
  return (await readAncestors(mirror, commit)).find((one) => candidates.has(one)) ?? null;
}

/** Returns a commit and its ancestors, the 1,000 newest, these first. Errors: `git_failed`, also for a commit that the mirror does not have. */
export async function readAncestors(mirror: Mirror, commit: string): Promise<string[]> {
  const child = await mirror.git('git rev-list', [...ancestors, commit]);
  const { code, stdout, isCut } = await readGit(child, { bytes: 41 * ancestorsMax, ms: walkMs });
  if (code !== 0 && !isCut) throw backendFailed(`git rev-list ended with ${code}`);
  return stdout.toString('latin1').split('\n');
}

/** Returns how many commits of the history of `tip` that of `commit` lacks, at most 1,000; null if git cannot say. */
export async function countMissing(mirror: Mirror, tip: string, commit: string): Promise<number | null> {
  const child = await mirror.git('git rev-list', [...missing, tip, `^${commit}`]);
  const { code, stdout } = await readGit(child, { bytes: 20, ms: walkMs });
  const text = stdout.toString('latin1').trim();
  return code === 0 && /^\d+$/.test(text) ? Number(text) : null;
}
