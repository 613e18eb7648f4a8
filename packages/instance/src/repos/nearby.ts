import type { Mirror } from '@fumehood/git';
import { backendFailed } from './errors.ts';
import { ancestors, ancestorsMax } from './mirrors.ts';
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
  const child = await mirror.git('git rev-list', [...ancestors, commit]);
  const { code, stdout, isCut } = await readGit(child, { bytes: 41 * ancestorsMax, ms: walkMs });
  if (code !== 0 && !isCut) throw backendFailed(`git rev-list ended with ${code}`);
  const commits = stdout.toString('latin1').split('\n');
  return commits.find((one) => candidates.has(one)) ?? null;
}
