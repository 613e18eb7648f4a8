import type { Mirror } from '@fumehood/git';
import { backendFailed } from './errors.ts';
import { historyOf } from './mirrors.ts';

/** How long git may walk through a history, milliseconds. */
const walkMs = 120_000;

/** A commit that has an index, and of what: a directory and an indexer. */
export interface IndexedCommit {
  readonly id: number;
  readonly commit: string;
  readonly of: string;
}

/**
 * Returns which of these indexes branches and tags with these tips need: those that a way through the history from a tip meets first, for each
 * directory and indexer. The nearest one is among them. Errors: `git_failed`, also when it takes too long.
 */
export async function neededIndexes(
  mirror: Mirror,
  tips: readonly string[],
  indexes: readonly IndexedCommit[],
): Promise<ReadonlySet<number>> {
  const found = new Set<number>();
  const at = new Map<string, IndexedCommit[]>();
  for (const index of indexes) at.set(index.commit, [...(at.get(index.commit) ?? []), index]);
  /** What is looked for at commits that git has not printed yet. Git prints a commit after all that come from it. */
  const wanted = new Map<string, ReadonlySet<string>>();
  const everything: ReadonlySet<string> = new Set(indexes.map(({ of }) => of));
  for (const tip of tips) wanted.set(tip, everything);
  const meet = (line: string) => {
    const [commit = '', ...parents] = line.split(' ');
    const here = wanted.get(commit);
    if (here === undefined) return;
    wanted.delete(commit);
    const met = (at.get(commit) ?? []).filter(({ of }) => here.has(of));
    for (const { id } of met) found.add(id);
    const left =
      met.length === 0 ? here : new Set([...here].filter((of) => !met.some((one) => one.of === of)));
    if (left.size === 0) return;
    for (const parent of parents) {
      const before = wanted.get(parent);
      if (before !== left) wanted.set(parent, before ? new Set([...before, ...left]) : left);
    }
  };
  if (everything.size === 0 || tips.length === 0) return found;
  const child = await mirror.git('git rev-list', historyOf);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill();
  }, walkMs);
  try {
    child.stderr.resume();
    child.stdin.on('error', () => {}); // git has ended
    child.stdin.end(tips.map((tip) => `${tip}\n`).join(''));
    let rest = '';
    for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
      const lines = (rest + chunk.toString('latin1')).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) meet(line);
      if (wanted.size === 0) return found;
    }
    const { code } = await child.exited;
    if (code !== 0 || late)
      throw backendFailed(late ? 'it took too long' : `git rev-list ended with ${code}`);
    return found;
  } finally {
    clearTimeout(timer);
    child.kill();
  }
}
