import type { Changes } from '@fumehood/batch-spec';
import { type FileDiff, readDiff } from '@fumehood/git';

/** What a diff changes. */
export interface DiffFacts {
  readonly changes: Changes;
  readonly addedLines: number;
  readonly deletedLines: number;
}

/** Returns what a diff changes. Errors: those of `readDiff`. */
export function factsOfDiff(bytes: Uint8Array): DiffFacts {
  const files = readDiff(bytes);
  const of = (...kinds: FileDiff['kind'][]) =>
    files.filter(({ kind }) => kinds.includes(kind)).map(({ path }) => path);
  const count = (lines: 'addedLines' | 'deletedLines') => files.reduce((sum, file) => sum + file[lines], 0);
  return {
    changes: {
      modified: of('modified'),
      added: of('added', 'copied'),
      deleted: of('deleted'),
      renamed: of('renamed'),
    },
    addedLines: count('addedLines'),
    deletedLines: count('deletedLines'),
  };
}
