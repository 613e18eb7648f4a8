import type { DiffStat } from '@fumehood/protocol';

/** Makes the value of a field with what a diff changes; null: there is no diff. */
export const diffStatOf = (stat: DiffStat | null) =>
  stat && { added: stat.addedLines, deleted: stat.deletedLines };
