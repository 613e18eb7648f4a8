import { posix } from 'node:path';
import { diffInvalid, submoduleChanged } from '../diff/errors.ts';
import { type FileDiff, submoduleMode } from '../diff/read.ts';

/**
 * Compares what git made of a diff with what `readDiff` has found in it: if the two read it differently, the commit would hold what nobody has checked.
 * `changed`: what `git diff-tree -r -z --no-renames` prints. Errors: `diff_invalid`.
 */
export function checkChange(files: readonly FileDiff[], changed: Buffer): void {
  const written = new Map(files.filter(({ kind }) => kind !== 'deleted').map((file) => [file.path, file]));
  const removed = new Set(
    files
      .filter(({ kind }) => kind === 'deleted' || kind === 'renamed')
      .map((file) => file.oldPath ?? file.path),
  );
  const parts = changed.toString('utf8').split('\0');
  for (let at = 0; at + 1 < parts.length; at += 2) {
    const [, mode = '', , , status = ''] = (parts[at] ?? '').split(' ');
    const path = parts[at + 1] ?? '';
    const file = written.get(path);
    if (status === 'D' ? !removed.has(path) || file : !file)
      throw diffInvalid('git makes another change of it than it says', path);
    if (file) checkMode(file, mode);
  }
}

function checkMode({ path, oldPath, newMode }: FileDiff, mode: string): void {
  if (newMode !== null && newMode !== mode) throw diffInvalid(`git gives it the mode ${mode}`, path);
  if (mode === submoduleMode) throw submoduleChanged(path);
  // What a link says leads elsewhere from another directory, and the diff does not show it.
  const isMoved = oldPath !== null && posix.dirname(oldPath) !== posix.dirname(path);
  if (newMode === null && mode === '120000' && isMoved)
    throw diffInvalid('a symbolic link may not move to another directory', path);
}
