import type { ChangesetRecord } from '@fumehood/protocol';
import { expect } from 'vitest';
import type { GitServer } from '../../packages/git/src/testing/git-server.ts';

/** Expects that the remote of each changeset that is shown as pushed has its commit on its branch. */
export function expectShownIsPushed(
  changesets: readonly ChangesetRecord[],
  remoteOf: (repository: string) => GitServer,
): void {
  for (const { state, repository, headRef, commit } of changesets) {
    if (state !== 'pushed') continue;
    const at = remoteOf(repository).git('for-each-ref', '--format=%(objectname)', headRef ?? '');
    expect(at, `${headRef} of ${repository}`).toBe(commit);
  }
}
