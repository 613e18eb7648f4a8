import type { FumehoodError } from '@fumehood/base';
import { repositoryUnreadable } from '../errors.ts';

/** What to do about a reason that git gives. The first pattern that matches counts. */
const remedies: readonly [pattern: RegExp, remedy: (path: string) => string][] = [
  [
    /repository extension|repo version/i,
    (path) =>
      `The git of this machine cannot read it. If it has reftables, run \`git -C ${path} refs migrate --ref-format=files\` with a newer git; else install a newer git.`,
  ],
  [
    /multi-pack-index/,
    () => 'Remove the file `multi-pack-index` in `objects/pack` of the git directory: git works without it.',
  ],
  [
    /promisor remote/,
    (path) =>
      `It is a partial clone, and Fumehood fetches nothing for it. Run \`git -C ${path} checkout COMMIT\`, which fetches what the commit needs, or give --repo a full clone.`,
  ],
  [
    /missing|unable to read|bad .*object|lacks the object/i,
    (path) =>
      `Fetch the object again (\`git -C ${path} fetch --refetch\` does, if the remote has it), or give --repo another clone.`,
  ],
  [
    /gitfile|not a git repository: \//,
    () =>
      'If it is a worktree or a submodule whose git directory was moved, run `git worktree repair` or `git submodule update --init` there.',
  ],
  [
    /namespace|uid map|failed to execute/i,
    () => 'Run `fumehood doctor`, which says what package or permission is missing.',
  ],
  [
    /permission denied/i,
    () =>
      'Permit the owner of the repository to traverse the directories above it and to read all of it, or copy it to another place.',
  ],
];

/** Returns `repository_unreadable` with the reason that git, or the sandbox of git, wrote to stderr. */
export function unreadable(path: string, stderr: string): FumehoodError {
  const reason = reasonIn(stderr);
  const [, remedy] = remedies.find(([pattern]) => pattern.test(reason)) ?? [];
  return repositoryUnreadable(path, reason, remedy?.(path) ?? `Check it with \`git -C ${path} fsck\`.`);
}

/** Returns the message with which git ended, on one line: the last one that begins with `fatal:`, or the last line. */
function reasonIn(stderr: string): string {
  const lines = stderr
    .trim()
    .replaceAll(/\n[\t ]+/g, ' ')
    .split('\n');
  const last = lines.findLast((line) => line.startsWith('fatal: ')) ?? lines.at(-1);
  return last?.replace(/^(fatal|error|bwrap): /, '') || 'git ended without a reason';
}
