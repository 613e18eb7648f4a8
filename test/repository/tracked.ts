import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

export const root = resolve(import.meta.dirname, '../..');

/** Returns the paths of all tracked files, from the top of the repository, whose name matches. */
export function trackedFiles(pattern = /./): string[] {
  return execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' })
    .split('\0')
    .filter((file) => file !== '' && pattern.test(file) && existsSync(join(root, file)));
}

/** Returns the text of a file of the repository. */
export function readTracked(file: string): string {
  return readFileSync(join(root, file), 'utf8');
}
