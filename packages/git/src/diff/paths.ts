import { diffInvalid } from './errors.ts';

/** The limits of one path: names, bytes, and bytes of each name. They are those of commits. */
const limits = { depth: 200, path: 4_000, name: 255 } as const;

/** Characters that HFS+ leaves out when it compares names. */
const ignoredByHfs = /[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]/gu;

/** Returns whether some file system takes this name for `.git`: in any case, by its short name, with dots or a stream after it. */
function isGitDirectory(name: string): boolean {
  return /^(?:\.git|git~1)[. ]*(?::.*)?$/is.test(name.replace(ignoredByHfs, ''));
}

/** Checks that a path is one below the root and outside of git's own directory, on every file system. Errors: `diff_invalid`. */
export function checkPath(path: string): void {
  const refused = (why: string) => diffInvalid(why, path);
  if (Buffer.byteLength(path) > limits.path) throw refused('its path is too long');
  const names = path.split('/');
  if (names.length > limits.depth) throw refused('its path is too deep');
  for (const name of names) {
    if (name === '' || name === '.' || name === '..') throw refused('it is not a path below the root');
    if (Buffer.byteLength(name) > limits.name) throw refused('a name in its path is too long');
    // Windows separates names with a backslash too.
    if (name.split('\\').some(isGitDirectory)) throw refused('its path is reserved for git');
  }
}

/**
 * Returns whether what a symbolic link says leads out of the repository, or into git's own directory. Other links on the way are not
 * followed.
 */
export function leadsOut(path: string, target: string): boolean {
  if (/^(?:[/\\]|[a-z]:)/i.test(target) || target.includes('\0')) return true;
  let depth = path.split('/').length - 1;
  for (const name of target.split(/[/\\]/)) {
    if (isGitDirectory(name)) return true;
    if (name === '..') depth -= 1;
    else if (name !== '' && name !== '.') depth += 1;
    if (depth < 0) return true;
  }
  return false;
}
